"""Which program leads, how it is copied, and how it is sent."""

import threading
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from workers.runner.bounds import ScoreBound
from workers.runner.checkpoints import CheckpointSender
from workers.runner.contest import BestProgram, Contest, with_texts
from workers.runner.failures import Stopped
from workers.runner.observing import Trials
from workers.runner.reporting import Reporter


class Quiet:
    """A channel that only remembers."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []

    def note(self, frame: dict[str, Any]) -> None:
        self.notes.append(frame)


class Open:
    """A stage that nothing stops."""

    def stop(self, reason: str, message: str) -> None:
        raise Stopped("budget_exhausted", f"{reason}: {message}")

    def check(self) -> None:
        pass


def _contest(won: Callable[[BestProgram], None], *, target: float | None = None) -> tuple[Contest, Quiet, dspy.Module]:
    quiet, student = Quiet(), dspy.Predict("a -> b")
    bound = ScoreBound(Open(), target=target, patience=None)
    reporter = Reporter(quiet)  # type: ignore[arg-type]  # only notes are sent here
    return Contest(student, bound=bound, won=won, reporter=reporter), quiet, student


def test_the_best_is_a_copy_without_what_the_optimizer_hung_on_it() -> None:
    won: list[BestProgram] = []
    contest, _, student = _contest(won.append)
    candidate = student.deepcopy()
    candidate.demos = [dspy.Example(a="1", b="2")]
    candidate.candidate_programs = ["all of them"]

    contest.evaluated(candidate.deepcopy, 0.5, is_best=True)
    candidate.demos.append("changed later")

    assert contest.best is not None
    assert won == [contest.best]
    assert contest.best.program.demos == [dspy.Example(a="1", b="2")]
    assert not hasattr(contest.best.program, "candidate_programs")
    assert contest.best.score == 0.5


def test_what_is_not_the_best_is_not_even_copied() -> None:
    contest, _, student = _contest(lambda _best: None)
    contest.evaluated(student.deepcopy, 0.5, is_best=True)
    first = contest.best

    contest.evaluated(lambda: pytest.fail("copied"), 0.4, is_best=False)

    assert contest.best is first


def test_a_good_enough_score_ends_the_compile_with_the_program_at_hand() -> None:
    contest, _, student = _contest(lambda _best: None, target=0.5)

    with pytest.raises(Stopped, match="target_reached"):
        contest.evaluated(student.deepcopy, 0.5, is_best=True)

    assert contest.best is not None


def test_a_program_that_cannot_be_copied_is_a_warning_and_ends_nothing() -> None:
    contest, quiet, _ = _contest(lambda _best: pytest.fail("offered"), target=0.5)

    def copy() -> dspy.Module:
        message = "no copies of me"
        raise TypeError(message)

    contest.evaluated(copy, 0.5, is_best=True)

    assert contest.best is None
    assert "no copies of me" in quiet.notes[0]["data"]["message"]


def test_the_texts_of_a_gepa_candidate_become_instructions_of_a_copy() -> None:
    student = dspy.ChainOfThought("a -> b")
    before = student.predict.signature.instructions

    program = with_texts(student, {"predict": "Do it well.", "of_another": "x"})

    assert program.predict.signature.instructions == "Do it well."
    assert student.predict.signature.instructions == before


def test_an_equal_rank_is_no_new_best_even_if_the_exact_score_is_higher() -> None:
    quiet = Quiet()
    trials = Trials(Reporter(quiet))  # type: ignore[arg-type]  # only notes are sent here

    verdicts = [
        trials.scored(0, 0.33333, rows=3, full=True, rank=33.33),
        trials.scored(1, 0.33334, rows=3, full=True, rank=33.33),
        trials.scored(2, 0.9, rows=2, full=False, rank=90.0),
        trials.scored(3, 0.34, rows=3, full=True, rank=34.0),
    ]

    assert verdicts == [True, False, False, True]
    assert trials.best == 0.34


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _best(score: float) -> BestProgram:
    return BestProgram(dspy.Predict("a -> b"), score)


def test_what_waits_is_sent_by_a_flush_and_the_newest_only() -> None:
    sent: list[float] = []
    sender = CheckpointSender(lambda best: sent.append(best.score))
    sender.offer(_best(0.1))
    sender.offer(_best(0.2))

    sender.flush()
    sender.flush()

    assert sent == [0.2]


def test_a_closed_sender_sends_nothing() -> None:
    sent: list[float] = []
    sender = CheckpointSender(lambda best: sent.append(best.score))
    sender.offer(_best(0.1))

    sender.close()
    sender.flush()

    assert sent == []


def test_its_thread_sends_the_first_at_once_and_the_next_after_the_gap() -> None:
    sent: list[float] = []
    came = threading.Semaphore(0)
    clock = Clock()

    def send(best: BestProgram) -> None:
        sent.append(best.score)
        came.release()

    sender = CheckpointSender(send, gap_seconds=3600, clock=clock)
    sender.start()
    sender.offer(_best(0.1))
    assert came.acquire(timeout=5)
    sender.offer(_best(0.2))
    assert sent == [0.1]

    with sender._changed:  # the thread must not wake up in between
        clock.now = 3601
        sender.offer(_best(0.3))

    assert came.acquire(timeout=5)
    assert sent == [0.1, 0.3]
    sender.close()


def test_closing_waits_for_what_is_on_its_way() -> None:
    began, may_end = threading.Event(), threading.Event()
    sent: list[float] = []

    def send(best: BestProgram) -> None:
        began.set()
        may_end.wait(timeout=5)
        sent.append(best.score)

    sender = CheckpointSender(send)
    sender.start()
    sender.offer(_best(0.1))
    assert began.wait(timeout=5)
    closing = threading.Thread(target=sender.close)
    closing.start()

    may_end.set()
    closing.join(timeout=5)

    assert not closing.is_alive()
    assert sent == [0.1]
