"""The whole platform as a user starts it: a fixture that folders import into their conftest."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
CANARY_KEY = "sk-canary-3f1c5a7e9b2d4f60"
"""The operator's provider key: nothing that leaves the worker may hold it."""
STOP_SECONDS = 30


@dataclass(frozen=True)
class RunningService:
    """Where it answers, and where its artifacts stand."""

    base_url: str
    artifacts_dir: Path
    data_dir: Path

    def submit(self, body: dict[str, Any]) -> str:
        """Hand in a job and return its id."""
        answer = httpx.post(f"{self.base_url}/run", json=body, timeout=30, trust_env=False)
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["job_id"])

    def wait(self, job_id: str, *, timeout_seconds: float = 90) -> dict[str, Any]:
        """Wait until the job has ended, and return its full record."""
        deadline = time.monotonic() + timeout_seconds
        with httpx.Client(base_url=self.base_url, timeout=30, trust_env=False) as http:
            while http.get(f"/jobs/{job_id}/summary").json()["status"] not in {"success", "failed", "cancelled"}:
                if time.monotonic() > deadline:
                    pytest.fail(f"job {job_id} did not end: {http.get(f'/jobs/{job_id}').text[-2000:]}")
                time.sleep(0.1)
            return dict(http.get(f"/jobs/{job_id}").json())


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """`python main.py` on a free port, with data of its own."""
    folder = tmp_path_factory.mktemp("service")
    port = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")},
        "DSPY_SERVICE_PORT": str(port),
        "DSPY_SERVICE_DATA_DIR": str(folder / "data"),
        "DSPY_SERVICE_ARTIFACTS_URL": str(folder / "artifacts"),
        "DSPY_SERVICE_SERVING_DRAIN_SECONDS": "5",
        "OPENAI_API_KEY": CANARY_KEY,
    }
    running = RunningService(f"http://127.0.0.1:{port}", folder / "artifacts", folder / "data")
    with (folder / "service.log").open("w+b") as log:
        process = subprocess.Popen(  # our own program
            [sys.executable, "main.py"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_healthy(running.base_url, process, folder / "service.log")
            yield running
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(base_url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{base_url}/health", timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.1)
    pytest.fail(f"the service did not become healthy (exit code {process.poll()}):\n{log.read_text()[-4000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail(f"the service did not stop within {STOP_SECONDS} s of SIGTERM")
