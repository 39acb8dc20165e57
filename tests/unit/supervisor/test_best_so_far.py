"""What an attempt keeps on its way, and when a budget ends it."""

import asyncio

import pytest

from dspy_service.domain.budget import Budget
from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.events import EventType
from dspy_service.domain.frames import Frame
from dspy_service.domain.job import BestSoFar, JobStatus
from dspy_service.domain.supervision import Checkpoint
from tests.support.claims import told
from tests.support.lm_calls import lm_frame, spec
from tests.support.scripted_child import READY, RESULT, RUNNING, Peer, blobs, checkpoint, sleep_until_killed
from tests.support.supervised import Kept, ScriptedDoor, run_attempt


def _phase(name: str) -> Frame:
    return {"t": "phase", "phase": name}


def _out_of_budget(**partial: object) -> Frame:
    failure = {"kind": "budget_exhausted", "message": "no program yet"}
    return {"t": "failure", "failure": failure, "partial": {**RESULT["result"], **partial}}


def _spent() -> ScriptedDoor:
    door = ScriptedDoor()
    door.spent = "The budget of 3 model calls is spent."
    return door


async def test_each_checkpoint_is_told_and_stored_with_what_was_used_by_then() -> None:
    kept, loop = Kept(), asyncio.get_running_loop()

    def runner(peer: Peer) -> None:
        peer.send({**READY, "versions": {"dspy": "3.4.1"}})
        while not peer.receive().get("last"):
            pass
        peer.send(RUNNING, lm_frame(1))
        assert peer.receive()["t"] == "answer"
        peer.send(*checkpoint(1, 0.25, baseline_test_metric=0.125, versions={"dspy": "forged"}))
        asyncio.run_coroutine_threadsafe(kept.has(1), loop).result()
        peer.send(*checkpoint(2, 0.5), *blobs(program=b"final"), RESULT)

    report, jobs = await run_attempt(runner, keep_best=kept)

    first = kept.checkpoints[0]
    assert (first.score, first.usage.total_calls, first.files["program.pkl"]) == (0.25, 1, b"best 1")
    assert first.result.baseline_test_metric == 0.125
    assert first.result.versions == {"dspy": "3.4.1"}
    assert await told(jobs, EventType.CHECKPOINT) == [{"score": 0.25, "number": 1}, {"score": 0.5, "number": 2}]
    assert report.files["program.pkl"] == b"final"
    assert report.checkpoint_score is None


async def test_what_an_earlier_attempt_has_stored_is_not_stored_again() -> None:
    kept, loop = Kept(), asyncio.get_running_loop()
    earlier = BestSoFar(score=0.5, path="j/1/best-2", fence=1)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING)
        for number, score in ((1, 0.25), (2, 0.5)):
            peer.send(*checkpoint(number, score), lm_frame(number))
            assert peer.receive()["t"] == "answer"  # what may be stored is stored by now
        peer.send(*checkpoint(3, 0.75))
        asyncio.run_coroutine_threadsafe(kept.has(3), loop).result()
        peer.send(RESULT)

    await run_attempt(runner, keep_best=kept, job={"best": earlier})

    assert kept.numbers == [3]


async def test_a_job_goes_on_while_its_checkpoints_cannot_be_stored() -> None:
    async def away(_checkpoint: Checkpoint) -> None:
        raise StoreUnavailableError("artifact store")

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5), lm_frame(1))
        assert peer.receive()["t"] == "answer"
        peer.send(*blobs(), RESULT)

    report, _ = await run_attempt(runner, keep_best=away)

    assert report.status is JobStatus.SUCCESS


async def test_a_lease_that_turns_out_to_be_lost_ends_the_attempt() -> None:
    ended = []

    async def lost(_checkpoint: Checkpoint) -> None:
        raise LeaseLostError("j", 1)

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5))
        sleep_until_killed(peer)
        ended.append(True)

    with pytest.raises(LeaseLostError):
        await run_attempt(runner, keep_best=lost)

    assert ended == [True]


async def test_the_door_hears_of_each_phase() -> None:
    door = ScriptedDoor()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, _phase("baseline"), _phase("compile"), _phase("final"), RESULT)

    await run_attempt(runner, door=door)

    assert door.phases == ["baseline", "compile", "final"]


@pytest.mark.parametrize(("optimizer", "keeps_reserve"), [("gepa", True), ("bootstrap_few_shot", False)])
async def test_only_for_an_optimizer_that_keeps_its_best_the_final_evaluation_is_reserved(
    optimizer: str,
    keeps_reserve: bool,  # noqa: FBT001  # a case
) -> None:
    door = ScriptedDoor()

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, RESULT)

    await run_attempt(runner, door=door, job_spec=spec(optimizer_name=optimizer))

    assert door.keeps_reserve is keeps_reserve


@pytest.mark.parametrize(
    "frames",
    [
        [_phase("baseline")],
        [RUNNING, _phase("compile"), _phase("baseline")],
        [RUNNING, _phase("final"), _phase("final")],
        [RUNNING, _phase("warmup")],
        [RUNNING, {"t": "phase"}],
        [RUNNING, {"t": "phase", "phase": ["baseline"]}],
        blobs(checkpoint=1),
        [RUNNING, *checkpoint(2, 0.5), *checkpoint(1, 0.5)],
        [RUNNING, *blobs(checkpoint=10_001)],
    ],
)
async def test_phases_and_checkpoints_out_of_order_fail_the_job(frames: list[Frame]) -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(*frames)
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner)

    assert (report.status, report.failure.kind) == (JobStatus.FAILED, "protocol_error")


async def test_a_runner_cannot_say_that_its_budget_was_spent_when_we_have_not_seen_it() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5), _out_of_budget())

    report, _ = await run_attempt(runner)

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "error")
    assert report.files == {}


async def test_a_spent_budget_without_any_program_is_a_failure() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, _out_of_budget(baseline_test_metric=0.5))

    report, _ = await run_attempt(runner, door=_spent())

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "budget_exhausted")
    assert report.failure.kind == "budget_exhausted"
    assert report.result.baseline_test_metric == 0.5


async def test_a_spent_budget_with_a_checkpoint_keeps_that_program() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5), _out_of_budget())

    report, _ = await run_attempt(runner, door=_spent())

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert report.files["program.pkl"] == b"best 1"
    assert report.checkpoint_score == 0.5
    assert report.failure is None


async def test_a_runner_that_stops_for_its_budget_and_reports_is_a_success() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5), *blobs(program=b"final"), {**RESULT, "reason": "budget_exhausted"})

    report, _ = await run_attempt(runner, door=_spent())

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert report.files["program.pkl"] == b"final"


async def test_a_crash_after_a_refusal_is_a_crash() -> None:
    def runner(peer: Peer) -> int:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5))
        return 1

    report, _ = await run_attempt(runner, door=_spent())

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "error")
    assert report.failure.kind == "runner_died"
    assert report.files == {}


async def test_the_best_of_several_checkpoints_is_the_one_with_the_highest_score() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.75), *checkpoint(2, 0.5), _out_of_budget())

    report, _ = await run_attempt(runner, door=_spent())

    assert report.checkpoint_score == 0.75


@pytest.mark.parametrize(
    ("told_reason", "reason"),
    [("target_reached", "target_reached"), ("no_improvement", "completed"), ("unheard-of", "completed")],
)
async def test_a_result_says_why_the_optimizer_stopped(told_reason: str, reason: str) -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *blobs(), {**RESULT, "reason": told_reason})

    report, _ = await run_attempt(runner, job_spec=spec(budget=Budget(stop_at_score=0.9)))

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, reason)


async def test_when_only_the_reserve_is_left_the_runner_is_told_to_stop_and_still_reports() -> None:
    heard = []

    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, _phase("baseline"))
        peer.killed.wait(timeout=1.2)  # how long it takes is what is reserved
        peer.send(_phase("compile"))
        heard.append(peer.receive())
        peer.send(_phase("final"), *blobs(), {**RESULT, "reason": "budget_exhausted"})

    search = spec(budget=Budget(max_seconds=100), optimizer_name="miprov2")
    report, _ = await run_attempt(runner, job_spec=search, job={"active_seconds": 97.8})

    assert heard == [{"t": "stop", "reason": "budget_exhausted"}]
    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")


async def test_when_all_time_is_used_the_last_checkpoint_is_the_result() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, _phase("compile"), *checkpoint(1, 0.5, baseline_test_metric=0.25))
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, job_spec=spec(budget=Budget(max_seconds=0.3)))

    assert (report.status, report.termination_reason) == (JobStatus.SUCCESS, "budget_exhausted")
    assert report.files["program.pkl"] == b"best 1"
    assert report.result.baseline_test_metric == 0.25


async def test_when_all_time_is_used_without_a_program_the_job_has_failed() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING)
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, job_spec=spec(budget=Budget(max_seconds=0.3)))

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "budget_exhausted")
    assert "0.3 s" in report.failure.message


async def test_the_operators_limit_keeps_nothing() -> None:
    def runner(peer: Peer) -> None:
        peer.receive_job()
        peer.send(RUNNING, *checkpoint(1, 0.5))
        sleep_until_killed(peer)

    report, _ = await run_attempt(runner, job_seconds=0.3)

    assert (report.status, report.termination_reason) == (JobStatus.FAILED, "time_limit")
    assert report.files == {}
