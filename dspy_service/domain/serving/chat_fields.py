"""Which fields of a program carry a chat, and what of a chat goes into them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.serving.interface import ProgramField, ProgramInterface
from dspy_service.domain.serving.program import ChatMapping, ProgramVersion

REASONING_FIELDS = frozenset({"reasoning", "next_thought"})
"""Outputs of DSPy's ChainOfThought and ReAct that are no answer."""

_QUESTIONS = ("question", "message", "query", "input", "prompt", "text", "user_input")
_ANSWERS = ("answer", "response", "output", "result", "text")
_HISTORY = re.compile(r"\bHistory\b")
_BYTES_PER_TOKEN = 4  # of English and of most code; other scripts have more bytes for each character, and more tokens


@dataclass(frozen=True)
class ChatFields:
    """The fields of one program that carry a chat."""

    question: str | None
    """Input that takes the user's message; None: the message must be a JSON object of inputs."""
    history: str | None
    """Input that takes the earlier turns; None: there is none."""
    answer: str | None
    """Output that is the reply; None: all outputs together, as JSON."""


@dataclass(frozen=True)
class Turn:
    """A question with its answer, as they stand in a conversation."""

    question: str
    answer: str
    inputs: Mapping[str, JsonValue]
    outputs: Mapping[str, JsonValue]

    @property
    def tokens(self) -> int:
        """About how many tokens of a prompt it takes: a quarter of its bytes, rounded up."""
        return -(-len(f"{self.question}{self.answer}".encode()) // _BYTES_PER_TOKEN)


def chat_fields(interface: ProgramInterface, mapping: ChatMapping) -> ChatFields:
    """Find the fields: what the version names, else by type, else by the usual names, in a fixed order."""
    history = mapping.history or next((each.name for each in interface.inputs if _takes_history(each)), None)
    texts = [each.name for each in interface.inputs if each.is_text and each.name != history]
    names = [each.name for each in interface.inputs if each.name != history]
    outputs = [each.name for each in interface.outputs if each.name not in REASONING_FIELDS]
    return ChatFields(
        question=mapping.question or _only(texts) or _first(_QUESTIONS, names),
        history=history,
        answer=mapping.answer or _only(outputs) or _first(_ANSWERS, outputs),
    )


def fields_of(version: ProgramVersion) -> ChatFields:
    """Return the fields of a version."""
    return chat_fields(version.interface, version.chat)


def turn_inputs(
    message: str | None, others: Mapping[str, JsonValue], *, fields: ChatFields, interface: ProgramInterface
) -> dict[str, JsonValue]:
    """Return the inputs of a turn, apart from what was said before: see ``recalled``.

    Args:
        message: The user's words; for a program without a question field a JSON object of inputs. None: the caller
            named every input.
        others: Inputs that the caller named.
        fields: Which field takes what.
        interface: Of the program.

    Raises:
        InvalidRequestError: the message has no field to go to, or the caller named that field too.
    """
    inputs = dict(others)
    if message is None:
        pass
    elif fields.question is None:
        inputs = {**_structured(message, interface), **inputs}
    elif fields.question in inputs:
        raise InvalidRequestError.of(f"inputs.{fields.question}", "is the message itself; send it once")
    else:
        inputs[fields.question] = message
    if fields.history is not None:
        inputs.setdefault(fields.history, {"messages": []})
    return inputs


def question_text(inputs: Mapping[str, JsonValue], fields: ChatFields) -> str:
    """Return what a user said who named every input: the question, or all of them as JSON."""
    value = inputs.get(fields.question) if fields.question is not None else None
    return value if isinstance(value, str) else _as_json(inputs, without=fields.history)


def recalled(
    inputs: Mapping[str, JsonValue], turns: Sequence[Turn], *, fields: ChatFields, mapping: ChatMapping
) -> dict[str, JsonValue]:
    """Return the inputs with what was said before, as much of it as the version's window holds.

    A history that the caller sent stays as it is. Without a history field, the earlier turns stand before the message,
    unless the version says otherwise.

    Args:
        inputs: As ``turn_inputs`` returned them.
        turns: What was said before, oldest first.
        fields: Which field takes what.
        mapping: The version's window, and what it does without a history field.
    """
    known = dict(inputs)
    window = recent(turns, max_turns=mapping.history_turns, max_tokens=mapping.history_tokens)
    if not window:
        return known
    if fields.history is not None:
        if known.get(fields.history) in (None, {"messages": []}):
            known[fields.history] = {"messages": [_as_history(turn, fields) for turn in window]}
    elif mapping.history_policy == "prepend" and fields.question is not None:
        said = [line for turn in window for line in (f"User: {turn.question}", f"Assistant: {turn.answer}")]
        known[fields.question] = "\n".join([*said, f"User: {known[fields.question]}"])
    return known


def recent(turns: Sequence[Turn], *, max_turns: int, max_tokens: int) -> list[Turn]:
    """Return the newest turns without a gap, oldest first: at most so many, and about so many tokens."""
    window: list[Turn] = []
    left = max_tokens
    for turn in reversed(turns[-max_turns:] if max_turns else []):
        left -= turn.tokens
        if left < 0:
            break
        window.append(turn)
    return window[::-1]


def require_memory(version: ProgramVersion) -> None:
    """Make sure that a version can go on with a conversation. Raises UnsupportedRequestError."""
    if version.chat.history_policy == "reject" and fields_of(version).history is None:
        message = f"{version.program} answers single messages only; start a new conversation for each"
        raise UnsupportedRequestError.of("conversation_id", message)


def answer_text(prediction: Mapping[str, JsonValue], fields: ChatFields) -> str:
    """Return what the user reads: the answer field, or all outputs but the reasoning as JSON."""
    if fields.answer is None or fields.answer not in prediction:
        return _as_json({name: each for name, each in prediction.items() if name not in REASONING_FIELDS})
    value = prediction[fields.answer]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(values: Mapping[str, JsonValue], *, without: str | None = None) -> str:
    return json.dumps({name: value for name, value in values.items() if name != without}, ensure_ascii=False)


def _as_history(turn: Turn, fields: ChatFields) -> dict[str, JsonValue]:
    """Return one message of a ``dspy.History``: keyed by fields, for DSPy loses what stands under role and content."""
    said: dict[str, JsonValue] = (
        {name: value for name, value in turn.inputs.items() if name != fields.history}
        if fields.question is None
        else {fields.question: turn.question}
    )
    if fields.answer is None:
        return {**said, **{name: value for name, value in turn.outputs.items() if name not in REASONING_FIELDS}}
    return {**said, fields.answer: turn.outputs.get(fields.answer, turn.answer)}


def _structured(message: str, interface: ProgramInterface) -> dict[str, JsonValue]:
    names = [each.name for each in interface.inputs]
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() <= set(names):
        fields = ", ".join(names)
        raise InvalidRequestError.of(
            "message", f"must be a JSON object of this program's inputs ({fields}), or send them as `inputs`"
        )
    return found


def _takes_history(field: ProgramField) -> bool:
    return field.is_history or _HISTORY.search(field.type_name) is not None


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _first(usual: Iterable[str], names: Sequence[str]) -> str | None:
    return next((name for name in usual if name in names), None)
