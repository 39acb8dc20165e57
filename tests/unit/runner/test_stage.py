"""Stages over a real socket pair: what a stop cuts, and what it leaves alone."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dspy_service.domain.frames import Frame, FrameReader, encode
from dspy_service.domain.supervision import Phase
from workers.runner.channel import Channel
from workers.runner.failures import Cancelled, Stopped
from workers.runner.stage import Stage, Stages

QUESTION: dict[str, Any] = {"t": "lm", "role": "task"}


@dataclass
class Wire:
    """A channel and the supervisor's end of its socket; frames are read when a test asks for them."""

    channel: Channel
    sock: socket.socket
    reader: FrameReader = field(default_factory=FrameReader)
    heard: list[bool] = field(default_factory=list)

    def stage(self, phase: Phase | None = "compile") -> Stage:
        return Stage(self.channel, phase=phase, heard=lambda replayed, _seconds: self.heard.append(replayed))

    def next_frame(self) -> Frame:
        """Wait for the next frame of the runner; a test asks for one at a time."""
        while True:
            for frame in self.reader.feed(self.sock.recv(1 << 16)):
                return frame

    def tell(self, frame: Frame) -> None:
        """Deliver a frame of the supervisor, as the channel's reader does."""
        for each in FrameReader().feed(encode(frame)):
            self.channel._dispatch(each)


@pytest.fixture
def wire() -> Iterator[Wire]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield Wire(Channel(theirs), ours)
    ours.close()
    theirs.close()


class Asking:
    """A thread that asks one question of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.answer: Frame | None = None
        self.error: BaseException | None = None
        self._stage = stage
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self.answer = self._stage.ask(QUESTION)
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def wait(self) -> "Asking":
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()
        return self


def test_an_answer_is_given_and_heard_of(wire: Wire) -> None:
    asking = Asking(wire.stage())
    number = wire.next_frame()["id"]

    wire.tell({"t": "answer", "id": number, "response": {}, "replayed": True})

    assert asking.wait().answer == {"t": "answer", "id": number, "response": {}, "replayed": True}
    assert wire.heard == [True]


def test_a_stop_ends_a_waiting_question_and_every_later_one(wire: Wire) -> None:
    stage = wire.stage()
    asking = Asking(stage)
    wire.next_frame()

    stage.stop("target_reached", "enough")

    assert isinstance(asking.wait().error, Stopped)
    with pytest.raises(Stopped, match="enough") as caught:
        stage.ask(QUESTION)
    assert caught.value.reason == "target_reached"
    with pytest.raises(Stopped, match="enough"):
        stage.check()


def test_the_first_reason_stands(wire: Wire) -> None:
    stage = wire.stage()

    stage.stop("no_improvement", "first")
    stage.stop("budget_exhausted", "second")

    with pytest.raises(Stopped, match="first"):
        stage.check()


def test_another_stage_goes_on_and_late_answers_reach_nobody(wire: Wire) -> None:
    before, after = wire.stage(), wire.stage("final")
    abandoned = Asking(before)
    old = wire.next_frame()["id"]
    before.stop("budget_exhausted", "spent")
    abandoned.wait()
    asking = Asking(after)
    new = wire.next_frame()["id"]

    wire.tell({"t": "answer", "id": old, "response": {"text": "late"}})
    wire.tell({"t": "answer", "id": new, "response": {"text": "right"}})

    answer = asking.wait().answer
    assert answer is not None
    assert answer["response"] == {"text": "right"}
    assert wire.heard == [False]


def test_a_cancel_ends_every_stage(wire: Wire) -> None:
    stage = wire.stage("final")
    asking = Asking(stage)
    wire.next_frame()

    wire.tell({"t": "cancel"})

    assert isinstance(asking.wait().error, Cancelled)
    with pytest.raises(Cancelled):
        stage.check()


def test_a_stage_that_refused_somebody_does_not_end_as_if_nothing_was(wire: Wire) -> None:
    stage = wire.stage()
    stage.stop("budget_exhausted", "spent")
    stage.settle()  # nobody was hindered yet

    with pytest.raises(Stopped):
        stage.ask(QUESTION)

    with pytest.raises(Stopped):
        stage.settle()


def test_entering_a_stage_tells_its_phase(wire: Wire) -> None:
    stages = Stages(wire.channel)

    stages.enter(wire.stage(None))
    stages.enter(wire.stage("baseline"))

    assert wire.next_frame() == {"t": "phase", "phase": "baseline"}


@pytest.mark.parametrize("phase", [None, "baseline", "compile"])
def test_a_stop_frame_ends_the_stage_that_runs(wire: Wire, phase: Phase | None) -> None:
    stages, stage = Stages(wire.channel), wire.stage(phase)
    stages.enter(stage)

    wire.tell({"t": "stop", "reason": "budget_exhausted"})

    with pytest.raises(Stopped) as caught:
        stage.check()
    assert caught.value.reason == "budget_exhausted"


def test_a_stop_frame_between_two_stages_ends_the_next(wire: Wire) -> None:
    stages, baseline, compiling = Stages(wire.channel), wire.stage("baseline"), wire.stage("compile")
    stages.enter(baseline)
    wire.tell({"t": "stop", "reason": "budget_exhausted"})

    stages.enter(compiling)

    with pytest.raises(Stopped):
        compiling.check()


def test_a_stop_frame_that_came_before_anybody_listened_is_not_lost(wire: Wire) -> None:
    wire.tell({"t": "stop", "reason": "budget_exhausted"})
    stages, stage = Stages(wire.channel), wire.stage("baseline")

    stages.enter(stage)

    with pytest.raises(Stopped):
        stage.check()


@pytest.mark.parametrize("early", [True, False])
def test_a_stop_frame_ends_the_final_stage_when_it_says_so(wire: Wire, early: bool) -> None:  # noqa: FBT001  # a column
    stages, stage = Stages(wire.channel), wire.stage("final")
    wire.tell({"t": "stop", "reason": "budget_exhausted"})
    if early:
        wire.tell({"t": "stop", "reason": "budget_exhausted", "final": True})
    stages.enter(stage)
    if not early:
        wire.tell({"t": "stop", "reason": "budget_exhausted", "final": True})

    with pytest.raises(Stopped, match="time is used up"):
        stage.check()


@pytest.mark.parametrize("early", [True, False])
def test_another_stop_frame_does_not_end_the_final_stage(wire: Wire, early: bool) -> None:  # noqa: FBT001  # a table column
    stages, stage = Stages(wire.channel), wire.stage("final")
    if early:
        wire.tell({"t": "stop", "reason": "budget_exhausted"})
    stages.enter(stage)
    if not early:
        wire.tell({"t": "stop", "reason": "budget_exhausted"})

    stage.check()
    stage.stop("budget_exhausted", "refused by the broker itself")

    with pytest.raises(Stopped, match="by the broker"):
        stage.check()
