"""What each role runs: the command lines and the environments of the API and of a worker."""

import re
import sys
from collections.abc import Mapping, Sequence

from dspy_service.domain.workers import SERVING_QUEUE

_PROVIDER_KEY = re.compile(r"(?:_API_KEYS?|_API_TOKEN|_API_SECRET|^HF_TOKEN|^HUGGING_?FACE\w*TOKEN)$", re.IGNORECASE)
"""Names under which providers keep their keys. Cloud storage credentials (``AWS_…``) stay: the artifact store needs
them in both roles."""

CLIENT_KEY_VARIABLE = "DSPY_SERVICE_API_KEY"
"""A person's own key to a service, which no role of the service needs."""

SERVING_PROCESSES = 1
"""Of a worker that only serves, unless it is told a number; each carries out many runs at a time."""

_NOT_FOR_WORKERS = {
    CLIENT_KEY_VARIABLE,
    "REMAP_SIGTERM",  # it would make Celery wait for jobs that nobody has told to stop
}
_WORKER_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the price map is otherwise fetched over the network
}


def api_command(host: str, port: int, *, log_level: str) -> list[str]:
    """Return the command line of the HTTP API."""
    return [
        *(sys.executable, "-m", "uvicorn", "dspy_service.app:create_app", "--factory"),
        *("--host", host, "--port", str(port)),
        *("--log-level", log_level, "--no-access-log"),
        *("--timeout-graceful-shutdown", "3"),  # open event streams would otherwise hold the shutdown for ever
    ]


def worker_command(queues: Sequence[str], concurrency: int, *, log_level: str) -> list[str]:
    """Return the command line of one worker with ``concurrency`` pool children."""
    return [
        *(sys.executable, "-m", "celery", "--quiet", "--app", "workers.celery_app", "worker"),
        *("--pool", "prefork", "--concurrency", str(concurrency), "--queues", ",".join(queues)),
        *("--without-gossip", "--without-mingle"),  # chatter that grows with the square of the number of workers
        *("--task-events", "--loglevel", log_level.upper()),
        *(("--hostname", f"{SERVING_QUEUE}@%h") if tuple(queues) == (SERVING_QUEUE,) else ()),  # one for jobs is there
    ]


def api_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return ``inherited`` without keys of anybody's: the API has no use for them and talks to the outside."""
    return {
        name: value for name, value in inherited.items() if not is_provider_key(name) and name != CLIENT_KEY_VARIABLE
    }


def worker_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what a worker runs with: its broker is the one that holds the provider keys."""
    kept = {name: value for name, value in inherited.items() if name not in _NOT_FOR_WORKERS}
    return {**kept, **_WORKER_ENVIRONMENT}


def is_provider_key(name: str) -> bool:
    """Tell whether an environment variable is named like a language model provider's key."""
    return bool(_PROVIDER_KEY.search(name)) and not name.upper().startswith("DSPY_SERVICE_")
