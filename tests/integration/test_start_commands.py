"""Each container's start command, run as a plain process: what docker-compose.yml says is what starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from dspy_service.adapters.embedded_valkey import find_server
from dspy_service.up.binding import free_port
from tests.support.platforms import ROOT, Started, plain_environment, short_folder, started
from tests.support.processes import wait_until

pytestmark = pytest.mark.slow

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
BIN = Path(sys.executable).parent


def start_command(service: str, replaced: Mapping[str, str] | None = None) -> list[str]:
    """Return a container's command as the container sees it: ``$$`` is compose's way to write ``$``."""
    words = [str(word) for word in SERVICES[service]["command"]]
    for old, new in {
        "$$": "$",
        "${WORKER_CONCURRENCY:-2}": "1",
        "${SERVING_PROCESSES:-1}": "1",
        **(replaced or {}),
    }.items():
        words = [word.replace(old, new) for word in words]
    return words


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def redis_url(folder: Path) -> Iterator[str]:
    with a_store(folder, free_port("127.0.0.1")) as url:
        yield url


@contextmanager
def a_store(folder: Path, port: int) -> Iterator[str]:
    binary, *options = start_command("redis")
    assert binary == "valkey-server"
    command = [find_server(), *options, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with started(command, os.environ, port=port), redis.Redis(port=port) as client:
        wait_until(lambda: answers(client))
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def container(service: str, redis_url: str, folder: Path, *, port: int = 0, **variables: str) -> Iterator[Started]:
    """Run a service's command with its image's environment, on loopback and a free port."""
    at = {"8000": str(port), "5555": str(port), "0.0.0.0": "127.0.0.1"} if port else {}  # noqa: S104 - replaced
    environment = plain_environment(
        DSPY_SERVICE_REDIS_URL=redis_url,
        DSPY_SERVICE_ARTIFACTS_URL=str(folder / "artifacts"),
        DSPY_SERVICE_DATA_DIR=str(folder / "data"),
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        **variables,
    )
    with started(start_command(service, at), environment, port=port) as program:
        yield program


def test_api_and_worker_start_become_ready_and_stop(redis_url: str, folder: Path) -> None:
    port = free_port("127.0.0.1")

    with container("api", redis_url, folder, port=port) as api, container("worker", redis_url, folder) as worker:
        api.wait_until_ready()
        health = httpx.get(f"{api.base_url}/health", trust_env=False).json()
        from_elsewhere = httpx.get(f"{api.base_url}/jobs/x", headers={"host": "api:8000"}, trust_env=False)
        worker.stop(signal.SIGTERM)
        api.stop(signal.SIGTERM)

        assert from_elsewhere.status_code == httpx.codes.FORBIDDEN
        assert health["workers"]["live"] == 1
        assert health["workers"]["concurrency"] == 1
        assert "Traceback" not in worker.output + api.output


@pytest.mark.parametrize("role", ["api", "worker", "serving"])
def test_a_role_waits_for_a_store_that_comes_late(role: str, folder: Path) -> None:
    port = free_port("127.0.0.1")

    with container(role, f"redis://127.0.0.1:{port}/0", folder, port=free_port("127.0.0.1")) as started_early:
        wait_until(lambda: "does not answer yet" in started_early.output)
        with a_store(folder, port), redis.Redis(port=port) as client:
            wait_until(lambda: bool(client.keys("{dspy}:pin:*")))

            started_early.stop(signal.SIGTERM)

    assert "REDIS_URL does not answer" not in started_early.output


def test_a_serving_worker_starts_is_counted_and_stops(redis_url: str, folder: Path) -> None:
    port = free_port("127.0.0.1")

    with container("api", redis_url, folder, port=port) as api, container("serving", redis_url, folder) as serving:
        wait_until(lambda: health_of(api).get("serving", {}).get("live") == 1, seconds=90)
        health = health_of(api)
        code = serving.stop(signal.SIGTERM)

    assert health["serving"] == {"live": 1, "concurrency": 64}
    assert health["workers"]["live"] == 0
    assert code == 0
    assert "Traceback" not in serving.output


def test_the_api_waits_for_a_first_key_before_it_listens_beyond_loopback(redis_url: str, folder: Path) -> None:
    with container("api", redis_url, folder) as api:
        code = api.wait()

    assert code == 1
    assert "keys create --direct" in api.output
    assert len(api.output.splitlines()) == 1


def test_a_stopped_worker_is_missed_at_once(redis_url: str, folder: Path) -> None:
    port = free_port("127.0.0.1")

    with container("api", redis_url, folder, port=port) as api:
        with container("worker", redis_url, folder) as worker:
            api.wait_until_ready()
            worker.stop(signal.SIGTERM)
        health = httpx.get(f"{api.base_url}/health", trust_env=False)

        assert health.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "No worker is live" in health.json()["detail"]


def test_flower_asks_for_the_password_and_changes_nothing(redis_url: str, folder: Path) -> None:
    port = free_port("127.0.0.1")

    with (
        container("flower", redis_url, folder, port=port, FLOWER_BASIC_AUTH="ops:word") as flower,
        httpx.Client(base_url=flower.base_url, trust_env=False) as http,
    ):
        wait_until(lambda: status(http, "/healthcheck") == httpx.codes.OK)

        assert status(http, "/") == httpx.codes.UNAUTHORIZED
        assert http.get("/", auth=("ops", "word"), follow_redirects=True).status_code == httpx.codes.OK
        shutdown = http.post("/api/worker/shutdown/celery@here", auth=("ops", "word"))
        assert shutdown.status_code == httpx.codes.FORBIDDEN


def test_flower_does_not_start_without_a_password(folder: Path) -> None:
    with container("flower", "redis://127.0.0.1:1/0", folder, port=free_port("127.0.0.1")) as flower:
        code = flower.wait()

    assert code != 0
    assert "FLOWER_BASIC_AUTH" in flower.output
    assert "name:password" in flower.output


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_role_without_a_store_is_one_sentence(role: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [BIN / "dspy-service", role],
        cwd=ROOT,
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "DSPY_SERVICE_REDIS_URL is empty" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def status(http: httpx.Client, path: str) -> int:
    """Return the status of an answer, or 0 while nobody answers."""
    try:
        return http.get(path).status_code
    except httpx.TransportError:
        return 0


def health_of(api: Started) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = httpx.get(f"{api.base_url}/health", trust_env=False).json()
    except httpx.TransportError:
        return {}
    return facts


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
