"""`dspy-service …` as a user types it, against a platform that really runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dspy_service.up.binding import free_port
from tests.support.payloads import ticket_request
from tests.support.platforms import ROOT, Started, plain_environment, platform, short_folder
from tests.support.processes import is_alive, wait_until

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("dspy-service")


@pytest.fixture(scope="module")
def service() -> Iterator[Started]:
    with short_folder() as folder, platform(folder) as program:
        program.wait_until_ready()
        yield program


def run(*words: str, stdin: str = "", cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [PROGRAM, *words],
        cwd=cwd,
        env=plain_environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_a_job_is_submitted_watched_read_and_saved(service: Started, tmp_path: Path) -> None:
    url = ("--url", service.base_url)

    submitted = run("submit", "-", *url, stdin=json.dumps(ticket_request()))
    job_id = submitted.stdout.strip()
    waited = run("wait", job_id, *url)
    summary = json.loads(run("summary", job_id, *url).stdout)
    status = json.loads(run("status", job_id, *url).stdout)
    logs = run("logs", job_id, *url).stdout.splitlines()
    saved = run("artifact", job_id, *url, cwd=tmp_path)
    result = json.loads(run("artifact-file", job_id, "result.json", *url).stdout)

    assert submitted.returncode == waited.returncode == saved.returncode == 0, waited.stderr
    assert waited.stdout.startswith("success: ")
    assert summary["status"] == status["status"] == "success"
    assert status["result"]["optimized_test_metric"] is not None
    assert any("Average Metric" in line for line in logs)
    assert result["optimized_test_metric"] == status["result"]["optimized_test_metric"]
    assert {path.name for path in (tmp_path / job_id).iterdir()} >= {"metadata.json", "program.pkl"}


def test_a_job_that_fails_makes_wait_fail_with_its_reason(service: Started) -> None:
    url = ("--url", service.base_url)
    request = ticket_request(metric_code="def metric(gold, pred, trace=None):\n    return 1 / 0\n")
    job_id = run("submit", "-", *url, stdin=json.dumps(request)).stdout.strip()

    waited = run("wait", job_id, *url)

    assert waited.returncode == 1
    assert "ZeroDivisionError" in waited.stderr
    assert "Traceback (most recent call last)" not in waited.stderr.split("ZeroDivisionError")[-1]


def test_a_job_is_watched_listed_priced_and_deleted(service: Started) -> None:
    url = ("--url", service.base_url)
    request = ticket_request(metadata={"run": "listed"})
    job_id = run("submit", "-", *url, stdin=json.dumps(request)).stdout.strip()

    watched = run("watch", job_id, *url)
    events = [json.loads(line) for line in run("watch", job_id, "--after", "2", "--json", *url).stdout.splitlines()]
    listed = run("list", "--metadata", "run=listed", "--status", "success", *url).stdout
    rows = run("list", "--limit", "1", "--json", *url).stdout.splitlines()
    usage = run("usage", job_id, *url).stdout
    deleted = run("delete", job_id, *url)
    gone = run("summary", job_id, *url)

    assert watched.returncode == 0, watched.stderr
    assert "state      pending" in watched.stdout.splitlines()[0]
    assert "success completed" in watched.stdout.splitlines()[-1]
    assert [event["seq"] for event in events] == list(range(3, len(watched.stdout.splitlines()) + 1))
    assert listed.split()[:1] == [job_id]
    assert [json.loads(row)["job_id"] for row in rows] == [job_id]
    assert " calls, " in usage
    assert "in all" in usage
    assert deleted.stdout == f"{job_id}  deleted\n"
    assert (gone.returncode, "There is no job" in gone.stderr) == (1, True)


def test_the_calls_of_jobs_are_counted_for_prometheus(service: Started) -> None:
    url = ("--url", service.base_url)
    job_id = run("submit", "-", *url, stdin=json.dumps(ticket_request())).stdout.strip()
    run("wait", job_id, *url)
    calls = json.loads(run("usage", job_id, "--json", *url).stdout)["total_calls"]

    wait_until(lambda: _metric(service, 'lm_calls_total{outcome="answered",role="task"}') >= calls > 0, seconds=30)

    assert _metric(service, 'lm_tokens_total{direction="input",role="task"}') > 0
    assert _metric(service, 'lm_cost_usd_total{role="task"}') == 0


def _metric(service: Started, name: str) -> float:
    """Return a figure, -1 when it is not there."""
    lines = httpx.get(f"{service.base_url}/metrics", trust_env=False).text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"dspy_service_{name} ")), -1.0)


def test_a_job_is_paused_resumed_cancelled_and_not_retried(service: Started) -> None:
    url = ("--url", service.base_url)
    slow = ticket_request(model_config={"name": "demo/in-context?latency_ms=60000"})
    job_id = run("submit", "-", *url, stdin=json.dumps(slow)).stdout.strip()

    paused = run("pause", job_id, *url)
    resumed = run("resume", job_id, *url)
    cancelled = run("cancel", job_id, *url)
    watched = run("watch", job_id, *url)
    retried = run("retry", job_id, *url)

    assert paused.stdout.split()[1] in {"paused", "pending", "validating", "running"}
    assert resumed.returncode == cancelled.returncode == 0, resumed.stderr + cancelled.stderr
    assert cancelled.stdout.startswith(job_id)
    assert (watched.returncode, "cancelled" in watched.stdout.splitlines()[-1]) == (1, True)
    assert (retried.returncode, "is cancelled, so it cannot be" in retried.stderr) == (1, True)


def test_the_state_of_the_service_and_the_secret_of_its_webhooks_are_printed(service: Started) -> None:
    health = run("health", "--url", service.base_url)
    secret = run("webhook-secret", "--url", service.base_url)

    assert health.returncode == secret.returncode == 0, health.stderr + secret.stderr
    assert json.loads(health.stdout)["workers"]["live"] == 1
    assert secret.stdout.startswith("whsec_")


def test_a_filter_that_is_no_pair_is_one_sentence() -> None:
    refused = run("list", "--metadata", "nonsense")

    assert (refused.returncode, refused.stderr) == (1, "Write --metadata as key=value.\n")


def test_a_refused_request_is_the_services_own_sentence(service: Started) -> None:
    refused = run("submit", "-", "--url", service.base_url, stdin="{}")

    assert refused.returncode == 1
    assert "signature_code" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_file_that_is_no_json_is_one_sentence() -> None:
    refused = run("submit", "-", stdin="nonsense")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "is not JSON" in refused.stderr


def test_a_service_that_is_not_there_is_one_sentence() -> None:
    answer = run("status", "some-job", "--url", f"http://127.0.0.1:{free_port('127.0.0.1')}")

    assert answer.returncode == 1
    assert "start the service with `python main.py`" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://service", "http://host:port", "nonsense"])
def test_an_address_that_is_none_is_one_sentence(url: str) -> None:
    answer = run("status", "some-job", "--url", url)

    assert answer.returncode == 1
    assert answer.stderr == f"{url!r} is no address of a service; write it as http://127.0.0.1:8000.\n"


def test_the_address_may_stand_in_the_environment() -> None:
    answer = run("status", "some-job", DSPY_CLIENT_URL="nonsense")

    assert answer.stderr.startswith("'nonsense' is no address")


def test_a_number_that_json_does_not_have_is_one_sentence() -> None:
    refused = run("submit", "-", stdin='{"seed": NaN}')

    assert refused.returncode == 1
    assert refused.stderr.startswith("The request cannot be written as JSON: ")
    assert refused.stderr.count("\n") == 1


def test_an_artifact_that_cannot_be_written_is_one_sentence(service: Started, tmp_path: Path) -> None:
    url = ("--url", service.base_url)
    job_id = run("submit", "-", *url, stdin=json.dumps(ticket_request())).stdout.strip()
    run("wait", job_id, *url)
    (tmp_path / "taken").write_text("a file where the folder should be")

    refused = run("artifact", job_id, "--output", str(tmp_path / "taken"), *url)

    assert refused.returncode == 1
    assert refused.stderr.endswith("(File exists); choose another --output.\n")
    assert refused.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which processes are left")
def test_the_demo_raises_the_score_and_leaves_nothing_running(tmp_path: Path) -> None:
    mark = f"demo-{os.getpid()}-{tmp_path.name}"
    plot = tmp_path / "scores.png"

    done = run("demo", "--plot", str(plot), DSPY_SERVICE_ARTIFACTS_URL=str(tmp_path / "artifacts"), MARK=mark)

    assert done.returncode == 0, done.stderr
    assert "→" in done.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "artifacts").rglob("program.pkl"))
    assert [pid for pid in with_environment(mark) if is_alive(pid)] == []


def with_environment(mark: str) -> list[int]:
    """Return the processes that inherited a variable with this value."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:
            continue  # ended, or not ours
    return found
