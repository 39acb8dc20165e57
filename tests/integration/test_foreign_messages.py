"""Whoever can write to the queue cannot make a worker unpickle: such a message is refused, and the worker lives on."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import httpx
import kombu
import pytest
import redis

from dspy_service.adapters.celery_settings import QUEUE, RING_TASK, celery_settings
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from tests.support.payloads import ticket_request
from tests.support.platforms import Started, platform, short_folder
from tests.support.processes import wait_until

pytestmark = pytest.mark.slow


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def store(folder: Path) -> Iterator[str]:
    with EmbeddedValkey.start(folder / "store") as server:
        yield server.url


@pytest.fixture
def service(folder: Path, store: str) -> Iterator[Started]:
    with platform(folder, {"REDIS_URL": store}) as program:
        program.wait_until_ready()
        yield program


def send(url: str, body: object, *, serializer: str) -> None:
    settings = celery_settings(url)
    options = settings["broker_transport_options"]
    with kombu.Connection(settings["broker_url"], transport_options=options) as connection:
        kombu.Producer(connection.channel()).publish(
            body,
            serializer=serializer,
            routing_key=QUEUE,
            declare=[kombu.Queue(QUEUE)],
            headers={"task": RING_TASK, "id": "0190", "lang": "py"},
        )


def test_a_pickled_message_is_refused_and_the_next_job_runs(service: Started, folder: Path, store: str) -> None:
    trace = folder / "unpickled"

    send(store, [[Bomb(trace)], {}, {}], serializer="pickle")
    service.wait_for("Refusing to deserialize|ContentDisallowed")
    answer = httpx.post(f"{service.base_url}/run", json=ticket_request(), trust_env=False)
    job_id = answer.json()["job_id"]
    with httpx.Client(base_url=service.base_url, trust_env=False) as http:
        wait_until(lambda: http.get(f"/jobs/{job_id}/summary").json()["status"] == "success", seconds=60)

    assert not trace.exists()
    with redis.Redis.from_url(store) as client:
        assert client.llen(f"dspy-service:{QUEUE}") == 0


def test_the_bomb_works(folder: Path) -> None:
    trace = folder / "unpickled"

    pickle.loads(pickle.dumps(Bomb(trace)))  # noqa: S301  # our own: it shows that the other test could fail

    assert trace.exists()
