"""Where the messages of a chat go in a program's inputs, and which of its outputs is the reply."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.chat_fields import (
    REASONING_FIELDS,
    ChatFields,
    Turn,
    answer_text,
    fields_of,
    recalled,
    turn_inputs,
)
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.openai_messages import Talk
from dspy_service.domain.serving.program import ProgramVersion

_SYSTEM_FIELDS = ("instructions", "system")
"""Inputs that take what a caller wants of the program."""


@dataclass(frozen=True)
class AskedRun:
    """What a run is started with."""

    inputs: dict[str, JsonValue]
    turns: tuple[Turn, ...]
    """What was said before, oldest first."""
    instructions: str | None
    """Added to the program's own."""
    warnings: tuple[str, ...]
    """What was sent and changes nothing."""


@dataclass(frozen=True)
class ReplyShape:
    """Which outputs a reply consists of."""

    fields: ChatFields
    interface: ProgramInterface
    outputs: tuple[str, ...] | None = None
    """The reply is a JSON object of these; None: the text of the answer field."""

    @property
    def streamed(self) -> str | None:
        """The field whose text is the reply, piece by piece; None: there is no reply before the end."""
        texts = [field.name for field in self.interface.outputs if field.is_text]
        return self.fields.answer if self.outputs is None and self.fields.answer in texts else None

    @property
    def reasoning(self) -> str | None:
        """The output that says how the program came to its answer."""
        return next((field.name for field in self.interface.outputs if field.name in REASONING_FIELDS), None)

    def text(self, prediction: Mapping[str, JsonValue]) -> str:
        """Return the whole reply."""
        if self.outputs is None:
            return answer_text(prediction, self.fields)
        chosen = {name: prediction[name] for name in self.outputs if name in prediction}
        return json.dumps(chosen, ensure_ascii=False)

    def reasoning_text(self, prediction: Mapping[str, JsonValue]) -> str:
        """Return the reasoning; empty when there is none."""
        value = None if self.reasoning is None else prediction.get(self.reasoning)
        return value if isinstance(value, str) else ""


def asked_run(
    talk: Talk,
    version: ProgramVersion,
    *,
    path: str,
    inputs: Mapping[str, JsonValue],
    before: Sequence[Turn] = (),
) -> AskedRun:
    """Return what to start.

    The last message goes to the question field; when it is a JSON object of several of the program's inputs, to those.
    What was said before goes to the history field as turns of the program's own fields, never as roles and contents,
    which DSPy would drop silently.

    Args:
        talk: What was said.
        version: What is called.
        path: Where the messages stand in the request, for the sentences about them.
        inputs: Other inputs, as the caller named them.
        before: Turns of earlier responses, which stand before those of ``talk``.

    Raises:
        InvalidRequestError: a message has no field to go to.
    """
    fields = fields_of(version)
    structured = _named_in(talk.message, version.interface, fields)
    system, instructions, warnings = _system(talk.system, version)
    named = {**system, **structured, **inputs}
    filled = _filled(None if structured else talk.message, named, version, fields, path)
    turns = (*before, *(Turn(question, answer, {}, {}) for question, answer in talk.pairs))
    if turns and fields.history is None and version.chat.history_policy != "prepend":
        warnings = (*warnings, "earlier messages: this program answers single messages only")
    told = recalled(filled, turns, fields=fields, mapping=version.chat)
    return AskedRun(inputs=told, turns=turns, instructions=instructions, warnings=warnings)


def wanted_outputs(
    form: Mapping[str, JsonValue] | None, interface: ProgramInterface, *, path: str
) -> tuple[str, ...] | None:
    """Return the outputs that a ``response_format`` asks for as a JSON object; None: it asks for text.

    Args:
        form: ``{"type": "text" | "json_object"}``, or ``json_schema`` with a schema of some of the program's outputs.
        interface: Of the program.
        path: Where it stands in the request.

    Raises:
        UnsupportedRequestError: the program has no such outputs.
    """
    kind = "text" if form is None else form.get("type", "text")
    if form is None or kind == "text":
        return None
    answers = tuple(field.name for field in interface.outputs if field.name not in REASONING_FIELDS)
    if kind == "json_object":
        return answers
    names = _schema_names(form, path) if kind == "json_schema" else None
    known = [field.name for field in interface.outputs]
    if names is None or not set(names) <= set(known):
        listed = ", ".join(known)
        raise UnsupportedRequestError.of(path, f"must be text, json_object or a schema of this program's {listed}")
    return names


def _schema_names(form: Mapping[str, JsonValue], path: str) -> tuple[str, ...]:
    holder = form.get("json_schema", form)
    schema = holder.get("schema") if isinstance(holder, dict) else None
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties:
        raise InvalidRequestError.of(path, "must hold a `schema` with `properties`")
    return tuple(properties)


def _named_in(message: str, interface: ProgramInterface, fields: ChatFields) -> dict[str, JsonValue]:
    """Return the inputs that a message names, when it is nothing but a JSON object of several of them."""
    names = [field.name for field in interface.inputs if field.name != fields.history]
    if len(names) < 2 or not message.lstrip().startswith("{"):  # noqa: PLR2004  # one input: the message is its text
        return {}
    try:
        found = json.loads(message)
    except ValueError:
        return {}
    return found if found and isinstance(found, dict) and found.keys() <= set(names) else {}


def _filled(
    message: str | None, named: dict[str, JsonValue], version: ProgramVersion, fields: ChatFields, path: str
) -> dict[str, JsonValue]:
    is_named = fields.question is None and not message and bool(named)
    try:
        return turn_inputs(None if is_named else message, named, fields=fields, interface=version.interface)
    except InvalidRequestError as error:
        (problem,) = error.problems
        raise InvalidRequestError.of(path if problem.field == "message" else problem.field, problem.message) from None


def _system(text: str, version: ProgramVersion) -> tuple[dict[str, JsonValue], str | None, tuple[str, ...]]:
    """Return the input, or the instructions, that take the system's message, or a warning that nothing does."""
    if not text:
        return {}, None, ()
    names: Iterable[str] = (field.name for field in version.interface.inputs if field.is_text)
    taker = next((name for name in names if name in _SYSTEM_FIELDS), None)
    if taker is not None:
        return {taker: text}, None, ()
    if version.chat.allow_system:
        return {}, text, ()
    return {}, None, ("system message: this program keeps to its own instructions",)
