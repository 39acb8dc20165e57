"""How Celery talks to Redis, for the side that rings and the side that answers."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from dspy_service.domain.workers import JOBS_QUEUE

QUEUE = JOBS_QUEUE
RING_TASK = "workers.ring"

_VISIBILITY_SECONDS = 24 * 3600  # a doorbell is acknowledged early, so nothing ever comes back after this
_TASKS_PER_CHILD = 50


def celery_settings(redis_url: str) -> dict[str, Any]:
    """Return Celery's configuration. A message is only a doorbell: early acknowledgement, no results, no retries."""
    return {
        "broker_url": celery_broker_url(redis_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": _VISIBILITY_SECONDS,
            "socket_timeout": 10,
            "socket_connect_timeout": 3,
            "socket_keepalive": True,
            "health_check_interval": 5,  # a half-open connection is noticed after 20 s, not after a minute
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "global_keyprefix": "dspy-service:",
        },
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_publish_retry": False,
        "task_default_queue": QUEUE,
        "task_serializer": "json",
        "accept_content": ["json"],  # a pickled message would be code
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "task_send_sent_event": True,  # Flower
        "worker_send_task_events": True,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,  # a ring that waits behind a busy slot would not wake the free one elsewhere
        "worker_max_tasks_per_child": _TASKS_PER_CHILD,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def celery_broker_url(redis_url: str) -> str:
    """Return the same address in Celery's words.

    ``unix://`` is ``redis+socket://`` there, and its database ``virtual_host``; TLS must say that certificates count.
    """
    parts = urlsplit(redis_url)
    scheme, query = parts.scheme, dict(parse_qsl(parts.query))
    if scheme == "unix":
        if "db" in query:
            query["virtual_host"] = query.pop("db")
        scheme = "redis+socket"
    elif scheme == "rediss":
        query.setdefault("ssl_cert_reqs", "required")
    suffix = f"?{urlencode(query)}" if query else ""
    return f"{scheme}://{parts.netloc}{parts.path}{suffix}"  # urlunsplit would drop the slashes of an unknown scheme
