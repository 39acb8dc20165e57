"""From the messages of a conversation to the turns that a program is told, and from a run to the message it wrote."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from pydantic import JsonValue

from dspy_service.domain.serving.chat_fields import REASONING_FIELDS, ChatFields, Turn, answer_text
from dspy_service.domain.serving.conversation import Answer, Message, MessageStatus
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import Cancelled, FieldDone, Predicted, RunFact, SourceCited, SourcesFound


def turns_of(messages: Sequence[Message]) -> list[Turn]:
    """Return each question that has an answer, oldest first; part of an answer is one."""
    return [
        Turn(question=question.text, answer=answer.text, inputs=question.fields, outputs=answer.fields)
        for question, answer in pairwise(messages)
        if (question.role, answer.role) == ("user", "assistant") and answer.text and answer.status != "writing"
    ]


def answer_of(outcome: RunOutcome, facts: Sequence[RunFact], fields: ChatFields) -> Answer:
    """Return what an assistant's message comes to.

    Args:
        outcome: How its run ended.
        facts: What the run told, as far as it is known.
        fields: Of its program.
    """
    predicted = next((fact for fact in reversed(facts) if isinstance(fact, Predicted)), None)
    if predicted is None:
        outputs = _outputs_so_far(facts)
        text = _text_so_far(facts, fields)
    else:
        outputs = predicted.prediction
        text = answer_text(outputs, fields) if predicted.answer is None else predicted.answer
    return Answer(
        text=text,
        fields=outputs,
        sources=cited(facts, outputs),
        usage=outcome.usage,
        status=_status(outcome.status, has_text=bool(text)),
    )


def is_rolled_back(facts: Iterable[RunFact]) -> bool:
    """Whether a run was ended so that its messages go."""
    return any(isinstance(fact, Cancelled) and fact.reason == "rolled_back" for fact in facts)


def cited(facts: Iterable[RunFact], outputs: Mapping[str, JsonValue]) -> list[SourceCited]:
    """Return what an answer rests on: what was retrieved, or else what the output ``sources`` names."""
    found = [source for fact in facts if isinstance(fact, SourcesFound) for source in fact.sources]
    return found or [SourceCited(id=each) for each in named_sources(outputs)]


def named_sources(outputs: Mapping[str, JsonValue]) -> list[str]:
    """Return what the output ``sources`` names, as texts; empty where there is no such list."""
    sources = outputs.get("sources")
    return [str(each) for each in sources] if isinstance(sources, list) else []


def _outputs_so_far(facts: Sequence[RunFact]) -> dict[str, JsonValue]:
    outputs: dict[str, JsonValue] = {each.field: each.text for each in FieldTexts.of(facts).all() if each.text}
    return outputs | {fact.field: fact.value for fact in facts if isinstance(fact, FieldDone)}


def _text_so_far(facts: Sequence[RunFact], fields: ChatFields) -> str:
    """Return the newest text of the answer field; of a program that has none, nothing: half an object says little."""
    texts = [each.text for each in FieldTexts.of(facts).all() if each.field == fields.answer]
    return texts[-1] if texts and fields.answer not in REASONING_FIELDS else ""


def _status(status: RunStatus, *, has_text: bool) -> MessageStatus:
    match status:
        case RunStatus.COMPLETED:
            return "complete"
        case RunStatus.CANCELLED:
            return "cancelled"
        case RunStatus.FAILED if not has_text:
            return "failed"
        case _:
            return "partial"
