"""What the language model's server saw: which job asked what and when, what was open, what was asked again."""

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.support.openai_server import Body, OpenAIServer, Received, Reply, Script, demo_learner

_SPREAD: Final = 0.5  # of the latency, to both sides: calls must not run in step


def learner(latency_seconds: float) -> Script:
    """Answer as the demo model does, each answer after 0.5 to 1.5 times the latency."""
    answering = demo_learner()
    draw, lock = random.Random(0), threading.Lock()  # noqa: S311  # only spreads calls

    def script(body: Body) -> Reply:
        with lock:
            share = draw.uniform(1 - _SPREAD, 1 + _SPREAD)
        text = answering(body).text
        return Reply(
            text,
            delay_seconds=share * latency_seconds,
            prompt_tokens=sum(len(str(message["content"]).split()) for message in body["messages"]),
            completion_tokens=len(text.split()),
        )

    return script


class LmLog:
    """Reads the log of a server that several jobs ask, each by a model name of its own."""

    def __init__(self, server: OpenAIServer) -> None:
        self._server = server

    def calls(self, model: str) -> list[Received]:
        """Return the requests of one job, in the order of their arrival."""
        return [request for request in self._server.received if request.body.get("model") == model]

    def answered(self, model: str) -> int:
        """Return how many of them were answered."""
        return sum(request.answered_at is not None for request in self.calls(model))

    def questions(self, model: str) -> "Counter[str]":
        """Return how often each different request of one job came."""
        return Counter(_fingerprint(request.body) for request in self.calls(model))

    def repeated(self, model: str, reference: str) -> int:
        """Return how many requests came that an undisturbed job has no need of.

        Args:
            model: Of the job.
            reference: Model of the undisturbed job: what came twice there is needed twice.
        """
        return (self.questions(model) - self.questions(reference)).total()


def open_since(calls: Sequence[Received], began: float) -> int:
    """Return how many calls have no answer yet, or got theirs after ``began`` (``time.monotonic``)."""
    return sum(call.answered_at is None or call.answered_at > began for call in calls)


def _fingerprint(body: Body) -> str:
    """Name a request by everything but the model, whose name tells jobs apart."""
    rest = {name: value for name, value in body.items() if name != "model"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
