"""Both sides of the doorbell speak to the same Redis with the same words."""

import pytest
from kombu import Connection
from redis.exceptions import ConnectionError  # noqa: A004  # redis-py's own name for it

from dspy_service.adapters.celery_settings import celery_broker_url, celery_settings


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://:pw@host:6380/2", "redis://:pw@host:6380/2"),
        ("unix:///srv/valkey.sock", "redis+socket:///srv/valkey.sock"),
        ("unix:///srv/valkey.sock?db=3", "redis+socket:///srv/valkey.sock?virtual_host=3"),
        ("rediss://host/0", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
    ],
)
def test_an_address_is_translated(redis_url: str, broker_url: str) -> None:
    assert celery_broker_url(redis_url) == broker_url


def test_a_socket_path_with_a_space_reaches_the_socket() -> None:
    url = celery_broker_url("unix:///nowhere/my%20data/valkey.sock?db=3")

    with Connection(url) as connection, pytest.raises(ConnectionError, match=r"/nowhere/my data/valkey\.sock"):
        connection.channel()


def test_a_message_is_only_a_doorbell() -> None:
    settings = celery_settings("redis://localhost")

    assert settings["accept_content"] == ["json"]
    assert settings["result_backend"] is None
    assert not settings["task_acks_late"]
