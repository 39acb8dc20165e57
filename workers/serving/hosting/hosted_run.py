"""One run in a host, as this side of the socket knows it."""

import asyncio
from typing import Any

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from dspy_service.domain.redaction import redact
from dspy_service.domain.serving.run import RunError
from workers.serving.hosting.hosted_calls import HostedCalls, Send
from workers.serving.hosting.told_facts import ToldFacts
from workers.serving.run_errors import KnownRunError, unreadable
from workers.supervisor.plain_text import one_line

_MAX_SHOWN = 500


def lost(reason: str, *, retry_after_seconds: float | None = None) -> KnownRunError:
    """Return the end of a run whose process has gone."""
    message = f"The program's process {reason}; send the request anew."
    return KnownRunError(
        RunError(code="worker_lost", message=message, retryable=True, retry_after_seconds=retry_after_seconds)
    )


class HostedRun:
    """Belongs to the event loop on which it is made.

    Args:
        told: Takes what the program tells.
        calls: Answers what it asks.
    """

    def __init__(self, told: ToldFacts, calls: HostedCalls) -> None:
        self.calls = calls
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """The prediction, or a KnownRunError or LMError."""
        self._told = told

    def take(self, frame: Frame, send: Send) -> None:
        """Take a frame of this run; after its end none counts.

        Raises:
            ProtocolError: it is none of ours.
        """
        if self.ended.done():
            return
        match frame["t"]:
            case "facts":
                self._told.take(frame.get("facts"))
            case "lm":
                self.calls.ask(frame, send)
            case "done":
                self._predict(frame.get("prediction"))
            case "failed":
                self.ended.set_exception(self._failure(frame))
            case other:
                raise ProtocolError(f"A host may not send a {other[:40]!r} frame.")

    def lose(self, reason: str) -> None:
        """End it because its process has ended."""
        if not self.ended.done():
            self.ended.set_exception(lost(reason))

    def _predict(self, values: object) -> None:
        if not isinstance(values, dict):
            raise ProtocolError("A prediction must be an object.")
        self.ended.set_result(self._told.predicted(values))

    def _failure(self, frame: Frame) -> Exception:
        told = redact(one_line(str(frame.get("message")), max_chars=_MAX_SHOWN))
        match frame.get("kind"):
            case "lm" if (error := self.calls.failed(frame.get("id"))) is not None:
                failed: Exception = error
                return failed
            case "input":
                return KnownRunError(
                    RunError(code="invalid_request", message=f"The program does not take this: {told}")
                )
            case "adapter_parse":
                return KnownRunError(unreadable(is_cut_off=self.calls.is_cut_off))
            case _:
                return KnownRunError(RunError(code="program_error", message=f"The program failed: {told}"))
