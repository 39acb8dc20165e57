"""A platform for one measurement: embedded store, API and worker as processes, all of them gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.client import Client, ClientError
from dspy_service.up.binding import free_port

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
IDLE_QUEUE = "nothing"  # a worker that listens here is live and takes no job


@contextmanager
def measured_platform(*, takes_jobs: bool = True, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run API, worker and store around the block and yield the base URL.

    Args:
        takes_jobs: Whether the worker runs what is submitted, or only is there.
        settings: Environment variables on top.
    """
    with tempfile.TemporaryDirectory(prefix="dspy-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        store = EmbeddedValkey.start(folder / "data")
        stack.callback(store.stop)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")},
            "DSPY_SERVICE_REDIS_URL": store.url,
            "DSPY_SERVICE_ARTIFACTS_URL": str(folder / "artifacts"),
            **(settings or {}),
        }
        port = free_port("127.0.0.1")
        log = stack.enter_context((folder / "log").open("wb"))
        queues = "jobs" if takes_jobs else IDLE_QUEUE
        for arguments in (("worker", "--queues", queues), ("api", "--port", str(port))):
            stack.enter_context(_process(arguments, environment, log.fileno()))
        base_url = f"http://127.0.0.1:{port}"
        _wait_until_well(base_url, folder / "log")
        yield base_url


@contextmanager
def lone_api(redis_url: str, folder: Path) -> Iterator[int]:
    """Run only an API process, on a store that is there, and yield its port; ``folder`` takes its log and its files."""
    port = free_port("127.0.0.1")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")}
    environment |= {
        "DSPY_SERVICE_REDIS_URL": redis_url,
        "DSPY_SERVICE_ARTIFACTS_URL": str(folder / "artifacts"),
        "DSPY_SERVICE_DATA_DIR": str(folder / "keys"),
    }
    with (folder / "api.log").open("wb") as log, _process(("api", "--port", str(port)), environment, log.fileno()):
        _wait_until_there(port, folder / "api.log")
        yield port


def _wait_until_there(port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    message = f"The API did not listen after {READY_SECONDS:g} s:\n{log.read_text(errors='replace')[-3000:]}"
    raise SystemExit(message)


@contextmanager
def _process(arguments: tuple[str, ...], environment: Mapping[str, str], log: int) -> Iterator[None]:
    command = [str(Path(sys.executable).with_name("dspy-service")), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=dict(environment), stdout=log, stderr=log)  # noqa: S603  # ours
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_well(base_url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with Client(base_url, timeout_seconds=2) as client:
        while time.monotonic() < deadline:
            try:
                if client.health().is_ok:
                    return
            except ClientError:
                pass  # it does not listen yet
            time.sleep(0.1)
    message = f"The platform was not well after {READY_SECONDS:g} s:\n{log.read_text(errors='replace')[-3000:]}"
    raise SystemExit(message)
