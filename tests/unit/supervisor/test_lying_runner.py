"""Runners that send a result and then something else, or forge what is not theirs to tell."""

import pytest

from dspy_service.domain.events import EventType
from dspy_service.domain.job import JobStatus
from tests.support.claims import told
from tests.support.lm_calls import lm_frame
from tests.support.scripted_child import READY, RESULT, RUNNING, Peer, sleep_until_killed
from tests.support.supervised import log_frame, run_attempt


@pytest.mark.parametrize("exit_code", [1, -11])
async def test_a_result_of_a_runner_that_then_ends_badly_does_not_count(exit_code: int) -> None:
    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.send(RUNNING, RESULT)
        return exit_code

    report, _ = await run_attempt(runner)

    assert (report.status, report.failure.kind) == (JobStatus.FAILED, "runner_died")
    assert "just after it reported a result" in report.failure.message
    assert report.files == {}


async def test_a_result_stands_when_its_runner_must_be_killed() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT)
        peer.killed.wait(timeout=10)

    report, _ = await run_attempt(runner)

    assert report.status is JobStatus.SUCCESS


async def test_a_second_result_does_not_replace_the_first() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT, {"t": "result", "result": {**RESULT["result"], "baseline_test_metric": 1.0}})

    report, _ = await run_attempt(runner)

    assert report.result.baseline_test_metric is None


async def test_a_job_starts_running_once() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(*[{"t": "status", "status": "running"}] * 2)
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner)

    assert report.failure.kind == "protocol_error"


async def test_what_a_result_says_is_made_safe_and_its_versions_are_those_from_before_the_job() -> None:
    told_by_the_job = {
        "module_name": "m\x1b",
        "optimizer_name": "o",
        "metric_name": "\u202emetric",
        "details": {"a\nb": "\x07"},
        "versions": {"dspy": "forged"},
    }

    def runner(peer: Peer) -> None:
        peer.send({**READY, "versions": {"dspy": "3.4.1", "odd\n": "\x1b"}})
        while not peer.receive().get("last"):
            pass
        peer.send(RUNNING, {"t": "result", "result": told_by_the_job})

    report, _ = await run_attempt(runner)

    assert (report.result.module_name, report.result.metric_name) == ("m\\x1b", "\\u202emetric")
    assert report.result.details == {"a b": "\\x07"}
    assert report.result.versions == {"dspy": "3.4.1", "odd ": "\\x1b"}


async def test_a_frame_of_more_bytes_than_allowed_ends_the_job() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(log_frame("x" * 200_000))
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, frame_bytes=100_000)

    assert "at most 100000" in report.failure.message


async def test_forged_usage_cost_and_scores_change_nothing_of_what_was_counted() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(lm_frame(1))
        peer.receive()
        forged = {"total_calls": 0, "total_tokens": 0, "cost_usd": 0.0, "usage": {"total_calls": 0}}
        peer.send(RUNNING, {**log_frame("x"), "usage": forged}, {**RESULT, "usage": forged, "cost_usd": 0.0})

    report, _ = await run_attempt(runner)

    assert (report.usage.total_calls, report.usage.total_tokens, report.usage.cost_usd) == (1, 5, 0.5)


async def test_a_usage_event_of_a_runner_ends_its_job_and_counts_nothing() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send({"t": "event", "type": "usage", "data": {"roles": {"task": {"calls": 0}}}})
        sleep_until_killed(peer)

    report, jobs = await run_attempt(runner)

    assert report.failure.kind == "protocol_error"
    assert await told(jobs, EventType.USAGE) == []
