"""The operator's provider key stays in the worker, whatever a job does to get at it."""

import json
import time
from pathlib import Path

import httpx

from tests.support.payloads import ticket_request
from tests.support.service import CANARY_KEY, RunningService

THIEF = """
import os


def metric(gold, pred, trace=None):
    print("environment:", dict(os.environ))
    places = ["/proc/self/environ", "/proc/%d/environ" % os.getppid(), "/proc/%d/mem" % os.getppid()]
    places += ["/proc/%s/environ" % pid for pid in range(1, 400)]
    for place in places:
        try:
            print(place, open(place, "rb").read(100_000))
        except (OSError, ValueError) as error:
            print(place, type(error).__name__)
    return float(gold.team == pred.team)
"""


def holders(folder: Path) -> list[Path]:
    """Return the files below ``folder`` that hold the key."""
    return [path for path in folder.rglob("*") if path.is_file() and CANARY_KEY.encode() in path.read_bytes()]


def test_a_thief_of_a_metric_brings_nothing_home(service: RunningService) -> None:
    job_id = service.submit(ticket_request(metric_code=THIEF, optimizer_kwargs={"k": 2}))

    record = service.wait(job_id)

    assert record["status"] == "success", record["message"]
    printed = [entry["message"] for entry in record["logs"] if entry["logger"] == "stdout"]
    assert any(line.startswith("environment:") for line in printed), "the metric did try"
    assert CANARY_KEY not in json.dumps(record)
    with httpx.Client(base_url=service.base_url, trust_env=False) as client:
        for path in ("events?limit=1000", "logs", "artifact", "summary"):
            assert CANARY_KEY not in client.get(f"/jobs/{job_id}/{path}").text
    assert holders(service.artifacts_dir) == []
    assert holders(service.data_dir) == []


def test_a_wrong_key_shows_in_no_answer_of_a_model_that_fails(service: RunningService) -> None:
    started = time.monotonic()
    job_id = service.submit(
        ticket_request(model_config={"name": "openai/no-such-model", "base_url": "http://127.0.0.1:9/v1"})
    )

    record = service.wait(job_id)

    assert record["status"] == "failed"
    assert CANARY_KEY not in json.dumps(record)
    assert time.monotonic() - started < 60
