"""The language model calls of one confined run: carried out here, with the version's model and the tenant's account."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import pydantic_core
from dspy._vendor.lm15.serde import response_to_dict  # not re-exported by dspy.lm15
from dspy.lm15 import Request
from dspy.utils.exceptions import LMError

from dspy_service.domain.errors import ModelCallError, ProtocolError
from dspy_service.domain.frames import MAX_FRAME_BYTES, Frame, encode
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.provider_errors import as_fields
from workers.lm.requests import admit, refusal
from workers.serving.engine import TellingEngine
from workers.serving.field_streams.characters import mended, mended_value, waits_for_half
from workers.serving.lm import RunCalls
from workers.serving.rollouts import Sample
from workers.serving.run_errors import for_dspy

_MAX_ROLLOUT_CHARS: Final = 200
_MAX_CANDIDATES: Final = 1_000
_MAX_REFUSED: Final = 100

Send = Callable[[bytes], None]

_log: Final = logging.getLogger(__name__)


class Relay:
    """Sends the pieces of one answer, and half a character only together with its other half."""

    def __init__(self, number: int, send: Send) -> None:
        self._number = number
        self._send = send
        self._half = ""

    def text(self, piece: str) -> None:
        """See Listener."""
        text = self._half + piece
        self._half = text[-1] if waits_for_half(text) else ""
        text = mended(text[: len(text) - len(self._half)])
        if text:
            self._send(encode({"t": "text", "id": self._number, "text": text}))


class HostedCalls:
    """Belongs to the event loop on which it is used.

    Args:
        calls: Of the run: cache, usage, the tenant's turn at the provider.
        engine: Of the only model that may be asked.
        max_tokens: Largest that a request may name.
        max_calls: That the run may make.
    """

    def __init__(self, calls: RunCalls, engine: TellingEngine, *, max_tokens: int, max_calls: int) -> None:
        self.pending_bytes = 0
        """Of requests that wait for their answer."""
        self._calls = calls
        self._engine = engine
        self._max_tokens = max_tokens
        self._calls_left = max_calls
        self._asking: set[asyncio.Task[None]] = set()
        self._failed: dict[int, LMError] = {}

    @property
    def pending(self) -> int:
        """How many wait for their answer."""
        return len(self._asking)

    @property
    def is_cut_off(self) -> bool:
        """Whether the last answer ended at its token limit."""
        return self._calls.finish_reason == "length"

    def failed(self, number: object) -> LMError | None:
        """Return the error that a call ended with; None when it has not."""
        return self._failed.get(number) if type(number) is int else None

    def ask(self, frame: Frame, send: Send) -> None:
        """Answer one ``lm`` frame, now or later; what a model or its provider does is an answer, never an exception.

        Raises:
            ProtocolError: the frame cannot be answered, because it has no number, or there is no end of them.
        """
        number = frame.get("id")
        if type(number) is not int:
            raise ProtocolError("An lm frame has no number.")
        try:
            self._begin(number, frame, send)
        except ModelCallError as error:
            self._refuse(number, for_dspy(error), error, send)

    async def aclose(self) -> None:
        """Cancel what is in flight: the connections to the provider close, and what was written is counted."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _begin(self, number: int, frame: Frame, send: Send) -> None:
        self._calls_left -= 1
        if self._calls_left < -_MAX_REFUSED:
            raise ProtocolError("It goes on asking although its run has made all its calls.")
        if self._calls_left < 0:
            raise ModelCallError(ModelErrorKind.BUDGET, "The run has made as many calls as one run may make.")
        request, sample = self._admitted(frame)
        size = len(pydantic_core.to_json(frame["request"]))
        relay = Relay(number, send) if frame.get("tells") is True else None
        self.pending_bytes += size
        task = asyncio.get_running_loop().create_task(self._answer(number, request, sample, relay, send))
        self._asking.add(task)
        task.add_done_callback(lambda ended: self._forget(ended, size))

    def _admitted(self, frame: Frame) -> tuple[Request, Sample]:
        raw, rollout, candidate = frame.get("request"), frame.get("rollout_id"), frame.get("candidate")
        if not isinstance(raw, dict) or type(candidate) is not int or not 0 <= candidate < _MAX_CANDIDATES:
            raise refusal("An lm frame needs a request and the number of a candidate.")
        if not isinstance(rollout, int | str | None) or len(str(rollout)) > _MAX_ROLLOUT_CHARS:
            raise refusal("A rollout is a number or a short word.")
        model = self._engine.target.wire_model
        return admit(raw, model=model, max_tokens=self._max_tokens), Sample(rollout, candidate)

    def _forget(self, task: asyncio.Task[None], size: int) -> None:
        self._asking.discard(task)
        self.pending_bytes -= size

    async def _answer(self, number: int, request: Request, sample: Sample, relay: Relay | None, send: Send) -> None:
        try:
            response = await self._calls.answer(self._engine, request, listener=relay, sample=sample)
            told = mended_value(response_to_dict(response))
            send(encode({"t": "answer", "id": number, "response": told}, max_frame_bytes=MAX_FRAME_BYTES))
        except LMError as error:
            failed = getattr(error, "failed", None)
            self._refuse(number, error, failed if isinstance(failed, ModelCallError) else None, send)
        except Exception:  # noqa: BLE001  # whatever it was: the run waits for this answer
            _log.exception("A call to %s ended in an error of our own.", self._engine.target.alias)
            failed = ModelCallError(ModelErrorKind.UNEXPECTED, "The service failed; its log says why.")
            self._refuse(number, for_dspy(failed), failed, send)

    def _refuse(self, number: int, error: LMError, failed: ModelCallError | None, send: Send) -> None:
        self._failed[number] = error
        fields = {"kind": ModelErrorKind.UNEXPECTED.value} if failed is None else dict(as_fields(failed))
        fields["model"] = str(fields.get("model", "")).partition("@http")[0]  # the address is the operator's own affair
        send(encode({"t": "answer", "id": number, "error": fields}))
