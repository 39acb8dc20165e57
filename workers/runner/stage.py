"""One stretch of a job: its way to the language models, which a stop cuts for good while the next stretch has its own.

A compile that is stopped leaves threads behind that still evaluate rows. They hold the models and the metric of their
stage, where every question and every metric call raises from then on; the final evaluation gets answers again.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from dspy_service.domain.frames import Frame
from dspy_service.domain.job import TerminationReason
from dspy_service.domain.supervision import Phase
from workers.runner.channel import Answers, Channel
from workers.runner.failures import Cancelled, Stopped

_STOPPED: Frame = {"t": "stop"}

Heard = Callable[[bool, float], None]
"""Told with each answer whether an earlier attempt paid for it, and how many seconds it took."""


class Stage:
    """Questions and metric calls of one stretch; safe to use from any thread."""

    def __init__(self, channel: Channel, *, phase: Phase | None, heard: Heard) -> None:
        self.phase = phase
        """What its calls are for, in the words of the ``phase`` frame; None before the first."""
        self._channel = channel
        self._heard = heard
        self._lock = threading.Lock()
        self._waiting: set[Answers] = set()
        self._stop: tuple[TerminationReason, str] | None = None
        self._refused = False

    def ask(self, frame: Mapping[str, Any]) -> Frame:
        """Ask the broker and wait.

        Raises:
            Stopped: the stage was stopped, before or meanwhile; an answer that still comes is dropped.
            Cancelled: the supervisor asked to stop at once.
            ProtocolError: the frame is not JSON or too large.
        """
        answers: Answers = queue.SimpleQueue()
        asked_at = time.monotonic()
        with self._lock:
            self._waiting.add(answers)
        try:
            self.check()
            answer = self._channel.ask(frame, answers)
        finally:
            with self._lock:
                self._waiting.discard(answers)
        if answer is _STOPPED:
            self.check()
        self._heard(answer.get("replayed") is True, time.monotonic() - asked_at)
        return answer

    def stop(self, reason: TerminationReason, message: str) -> None:
        """End every waiting and every later question and metric call; the first reason stands."""
        with self._lock:
            if self._stop is not None:
                return
            self._stop = reason, message
            waiting = list(self._waiting)
        for answers in waiting:
            answers.put(_STOPPED)

    def check(self) -> None:
        """Go on, or raise Stopped or Cancelled."""
        if self._channel.cancelled.is_set():
            raise Cancelled
        if self._stop is not None:
            self._refused = True
            raise Stopped(*self._stop)

    def settle(self) -> None:
        """Raise what submitted code has swallowed: a bare ``except`` catches even Stopped.

        A stop that came too late to hinder anything changes nothing.
        """
        if self._refused:
            self.check()


class Stages:
    """The stages of one job, one after the other; a ``stop`` frame ends the one that runs, the final if it says so."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._current: Stage | None = None
        self._stop_asked = self._final_too = False
        channel.on_stop(self._stop)

    def enter(self, stage: Stage) -> None:
        """Let a stage run and tell the supervisor; a stop that nobody heard yet ends it at once."""
        with self._lock:
            self._current, stop_asked = stage, self._stop_asked
        if stage.phase is not None:
            self._channel.say({"t": "phase", "phase": stage.phase})
        if stop_asked:
            self._end(stage)

    def _stop(self, frame: Frame) -> None:
        with self._lock:
            self._stop_asked, stage = True, self._current
            self._final_too |= frame.get("final") is True
        if stage is not None:
            self._end(stage)

    def _end(self, stage: Stage) -> None:
        if stage.phase != "final":
            stage.stop("budget_exhausted", "The job's time is used up, except for what the final evaluation needs.")
        elif self._final_too:
            stage.stop("budget_exhausted", "The job's time is used up.")
