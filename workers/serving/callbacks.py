"""Follows a program through DSPy's callbacks: which predictor writes, in which format, and what is being done.

DSPy calls back in the task that does the work, before and after it, so no thread and no queue is needed; what belongs
to one task only stands in context variables, because a program may call several predictors at a time.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import dspy
from dspy.utils.callback import BaseCallback

from dspy_service.domain.serving.run_events import StatusNoted
from workers.serving.field_streams.by_adapter import AnswerFormat, field_stream
from workers.serving.field_streams.field_stream import FieldStream, OutputField
from workers.serving.field_streams.field_writer import FieldWriter
from workers.serving.plain_adapter import PlainTextAdapter
from workers.serving.plain_values import as_json
from workers.serving.progress import TakesFacts


@dataclass
class _Writing:
    """One call of a predictor, which may call its model more than once until it can read the answer."""

    predictor: str
    writer: FieldWriter
    has_called: bool = False


@dataclass(frozen=True)
class _Prompt:
    """What an adapter has just written; the next call of a model in this task is its."""

    answer_format: AnswerFormat
    fields: tuple[OutputField, ...]


_WRITING: Final[ContextVar[_Writing | None]] = ContextVar("dspy_service_writing", default=None)
_PROMPT: Final[ContextVar[_Prompt | None]] = ContextVar("dspy_service_prompt", default=None)


class _Hearing:
    """Turns the pieces of one answer into tokens of fields."""

    def __init__(self, stream: FieldStream, writer: FieldWriter, progress: TakesFacts) -> None:
        self._stream = stream
        self._writer = writer
        self._progress = progress

    def text(self, piece: str) -> None:
        """See Listener."""
        deltas = self._stream.feed(piece)
        if deltas:
            self._progress.add(*self._writer.write(deltas))


@dataclass
class _Begun:
    status: StatusNoted
    at: float


class ProgramWatch(BaseCallback):  # type: ignore[misc]  # DSPy is untyped
    """The callbacks of one run.

    Args:
        program: Whose predictors have names.
        progress: Where the facts go.
    """

    def __init__(self, program: dspy.Module, progress: TakesFacts) -> None:
        self._root = program
        self._names: Mapping[int, str] = {id(each): name for name, each in program.named_predictors()}
        self._progress = progress
        self._turns: dict[str, int] = {}
        self._begun: dict[str, _Begun] = {}
        self._writings: dict[str, _Writing] = {}

    def listen(self) -> _Hearing | None:
        """Say who hears the call of a model that begins in this task; what was written before it is void then."""
        prompt, writing = _PROMPT.get(), _WRITING.get()
        _PROMPT.set(None)  # a second candidate of the same call is not what the program answers
        if prompt is None or writing is None:
            return None
        if writing.has_called:
            self._progress.add(*writing.writer.retract())
        writing.has_called = True
        return _Hearing(field_stream(prompt.answer_format, prompt.fields), writing.writer, self._progress)

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Note that a predictor, or another module inside the program, begins."""
        if isinstance(instance, dspy.Predict):
            self._begin_writing(call_id, instance)
        if instance is not self._root:
            name = self._names.get(id(instance), type(instance).__name__)
            self._begin(call_id, StatusNoted(stage="module", phase="start", name=name, message=f"Running {name}."))

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Set a predictor's text right by what was read of it."""
        writing = self._writings.pop(call_id, None)
        if writing is not None:
            _WRITING.set(None)
            if isinstance(outputs, dspy.Prediction):
                self._progress.add(*writing.writer.reconcile(as_json(outputs)))
        self._end(call_id)

    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Remember which fields the next answer will hold, and how."""
        if "signature" not in inputs:
            return  # DSPy wraps the method once for each subclass; the innermost call names its arguments
        outputs = inputs["signature"].output_fields
        fields = tuple(OutputField(name, info.annotation is str) for name, info in outputs.items())
        _PROMPT.set(_Prompt(answer_format(instance), fields))

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Note that a model is asked."""
        name = str(instance.model)
        self._begin(call_id, StatusNoted(stage="lm", phase="start", name=name, message="Asking the model."))

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Note that it has answered."""
        self._end(call_id)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Note that a tool is used."""
        name = str(instance.name)
        self._begin(call_id, StatusNoted(stage="tool", phase="start", name=name, message=f"Using {name}."))

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:  # noqa: ANN401, ARG002  # DSPy's
        """Note that it is done."""
        self._end(call_id)

    def _begin_writing(self, call_id: str, predictor: dspy.Predict) -> None:
        name = self._names.get(id(predictor), type(predictor).__name__)
        turn = self._turns.get(name, 0)
        self._turns[name] = turn + 1
        outputs = predictor.signature.output_fields
        fields = [OutputField(each, info.annotation is str) for each, info in outputs.items()]
        writing = _Writing(name, FieldWriter(name, fields, turn=turn))
        self._writings[call_id] = writing
        _WRITING.set(writing)

    def _begin(self, call_id: str, status: StatusNoted) -> None:
        self._begun[call_id] = _Begun(status, time.monotonic())
        self._progress.add(status)

    def _end(self, call_id: str) -> None:
        begun = self._begun.pop(call_id, None)
        if begun is not None:
            elapsed = round((time.monotonic() - begun.at) * 1000, 3)
            self._progress.add(begun.status.model_copy(update={"phase": "end", "elapsed_ms": elapsed}))


def answer_format(adapter: dspy.Adapter) -> AnswerFormat:
    """Return how answers for an adapter are laid out; ``unknown`` for a class that may read them in its own way."""
    formats: Mapping[type, AnswerFormat] = {
        dspy.ChatAdapter: "chat",
        dspy.JSONAdapter: "json",
        dspy.XMLAdapter: "xml",
        PlainTextAdapter: "plain",
    }
    return formats.get(type(adapter), "unknown")
