"""`python main.py`: one command brings everything up, and one Ctrl-C leaves nothing behind."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.support.payloads import ticket_request
from tests.support.platforms import platform, short_folder
from tests.support.processes import descendants, is_alive, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which processes are left"),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def test_it_says_where_everything_is_and_ctrl_c_ends_it_all(folder: Path) -> None:
    with platform(folder) as program:
        program.wait_for("Ready after")
        health = httpx.get(f"{program.base_url}/health", trust_env=False)
        family = descendants(program.process.pid)

        code = program.stop(signal.SIGINT)

        assert health.status_code == httpx.codes.OK
        assert health.json()["status"] == "ok"
        assert len(family) >= 4, "Valkey, the worker, its pool child and the API"
        assert code == 0
        wait_until(lambda: not any(map(is_alive, family)), seconds=5)
        assert program.base_url in program.output
        assert f"{program.base_url}/docs" in program.output
        assert str(folder / "data") in program.output
        assert str(folder / "artifacts") in program.output
        assert "demo/in-context" in program.output
        assert "Traceback" not in program.output
        assert program.lines[-1] == "Stopped."


def test_a_start_without_trouble_prints_no_log_lines(folder: Path) -> None:
    with platform(folder) as program:
        program.wait_for("Ready after")
        program.stop(signal.SIGTERM)

        assert [line for line in program.lines if "│" in line] == []


def test_data_is_kept_between_two_starts(folder: Path) -> None:
    with platform(folder) as program:
        program.wait_for("Ready after")
        with redis.Redis(unix_socket_path=str(folder / "data" / "valkey.sock")) as client:
            client.set("kept", "yes")
        program.stop()

    with platform(folder) as program:
        program.wait_for("Ready after")
        with redis.Redis(unix_socket_path=str(folder / "data" / "valkey.sock")) as client:
            kept = client.get("kept")
        program.stop()

    assert kept == b"yes"


def test_a_killed_platform_leaves_nothing_behind(folder: Path) -> None:
    with platform(folder) as program:
        program.wait_for("Ready after")
        family = descendants(program.process.pid)

        program.process.kill()
        program.wait()
        killed_at = time.monotonic()
        wait_until(lambda: not any(map(is_alive, family)))

        assert time.monotonic() - killed_at < 5


def test_ctrl_c_does_not_wait_for_a_job_that_runs(folder: Path) -> None:
    slow = ticket_request(model_config={"name": "demo/in-context?latency_ms=60000"})

    with platform(folder) as program:
        program.wait_for("Ready after")
        with httpx.Client(base_url=program.base_url, trust_env=False) as http:
            job_id = http.post("/run", json=slow).json()["job_id"]
            wait_until(lambda: http.get(f"/jobs/{job_id}/summary").json()["status"] != "pending")
        family = descendants(program.process.pid)
        began = time.monotonic()

        code = program.stop()

        assert code == 0
        assert time.monotonic() - began < 20
        assert not any(map(is_alive, family))


def test_a_job_goes_on_after_ctrl_c_and_a_new_start(folder: Path) -> None:
    steady = ticket_request(model_config={"name": "demo/in-context?latency_ms=300"})

    with platform(folder) as program:
        program.wait_for("Ready after")
        with httpx.Client(base_url=program.base_url, trust_env=False) as http:
            job_id = http.post("/run", json=steady).json()["job_id"]
            wait_until(lambda: http.get(f"/jobs/{job_id}/summary").json()["status"] == "running", seconds=60)
        assert program.stop() == 0

    with platform(folder) as program:
        program.wait_for("Ready after")
        with httpx.Client(base_url=program.base_url, trust_env=False) as http:
            wait_until(lambda: http.get(f"/jobs/{job_id}/summary").json()["status"] == "success", seconds=60)
            record = http.get(f"/jobs/{job_id}").json()
            events = http.get(f"/jobs/{job_id}/events").json()["data"]
        assert program.stop() == 0

    states = [event["data"]["status"] for event in events if event["type"] == "state"]
    assert record["attempt"] == 2
    assert states == ["pending", "validating", "running", "pending", "validating", "running", "success"]
    assert record["result"]["program_artifact"]["program_pickle_base64"]


@pytest.mark.parametrize("part", ["dspy_service.app", "workers.celery_app", "valkey-server"])
def test_a_part_that_dies_is_started_again(folder: Path, part: str) -> None:
    with platform(folder) as program:
        program.wait_for("Ready after")
        before = by_name(program.process.pid, part)

        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: bool(by_name(program.process.pid, part) - before))
        program.wait_until_ready()

        assert program.stop() == 0


def test_a_taken_port_is_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with platform(folder, {"PORT": port}) as program:
            code = program.wait()

    assert code == 1
    assert len(program.lines) == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in program.lines[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0"}, "no API key exists"),  # noqa: S104 - refused
        ({"REDIS_URL": "nonsense"}, "DSPY_SERVICE_REDIS_URL"),
        ({"WORKER_CONCURRENCY": "many"}, "DSPY_SERVICE_WORKER_CONCURRENCY"),
        ({"COLOUR": "green"}, "DSPY_SERVICE_COLOUR"),
        ({"REGISTRY": "nowhere:configure"}, "DSPY_SERVICE_REGISTRY"),
        ({"ARTIFACTS_URL": "ftp://nowhere"}, "DSPY_SERVICE_ARTIFACTS_URL"),
        ({"DATA_DIR": "/dev/null/data"}, "DSPY_SERVICE_DATA_DIR"),
    ],
    ids=["open address", "not a URL", "not a number", "unknown", "registry", "artifacts", "data folder"],
)
def test_settings_that_cannot_work_are_one_sentence(folder: Path, settings: dict[str, str], words: str) -> None:
    began = time.monotonic()

    with platform(folder, settings) as program:
        code = program.wait()

    assert code == 1
    assert len(program.lines) == 1, program.output
    assert words in program.lines[0]
    assert time.monotonic() - began < 15


def test_a_part_that_cannot_start_is_one_sentence_with_its_last_words(folder: Path) -> None:
    (folder / "faulty.py").write_text(
        "import sys\n\ndef configure(registry):\n"
        "    if any('celery' in word for word in sys.orig_argv):\n        raise SystemExit('out of cheese')\n",
        encoding="utf-8",
    )

    with platform(folder, {"REGISTRY": "faulty:configure"}, python_path=folder) as program:
        code = program.wait()

    assert code == 1
    assert len(program.lines) == 1, program.output
    assert re.match(r"The (serving )?worker ended with code 1 while starting", program.lines[0])
    assert program.lines[0].endswith("out of cheese")


def test_a_store_that_is_not_there_is_waited_for_and_is_one_sentence_then(folder: Path) -> None:
    with platform(folder, {"REDIS_URL": "redis://127.0.0.1:1/0"}) as program:
        code = program.wait()

    assert code == 1
    assert len(program.lines) == 2, program.output
    assert "does not answer yet; it is asked again for 15 s" in program.lines[0]
    assert "DSPY_SERVICE_REDIS_URL does not answer" in program.lines[1]


def test_a_silent_store_is_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://:secret-word@127.0.0.1:{silent.getsockname()[1]}/0"
        with platform(folder, {"REDIS_URL": url}) as program:
            code = program.wait()

    assert code == 1
    assert len(program.lines) == 2, program.output
    assert "DSPY_SERVICE_REDIS_URL does not answer" in program.lines[1]
    assert "secret-word" not in program.output


def test_a_data_folder_in_use_is_one_sentence(folder: Path) -> None:
    with platform(folder) as first:
        first.wait_for("Ready after")
        with platform(folder) as second:
            code = second.wait()

        assert code == 1
        assert len(second.lines) == 1, second.output
        assert f"already in use by pid {first.process.pid}" in second.lines[0]
        assert first.stop() == 0


def by_name(pid: int, name: str) -> set[int]:
    """Return the processes below ``pid`` whose command line has ``name`` in it."""
    found = set()
    for child in descendants(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended in between
        if name in command:
            found.add(child)
    return found
