"""What a reader of facts has in the end, and how an answer comes in pieces."""

from collections.abc import Iterable, Iterator
from itertools import cycle

from dspy_service.domain.serving.run_events import FieldDone, RunFact, TextReplaced, TokenWritten
from workers.serving.field_streams.by_adapter import AnswerFormat, field_stream
from workers.serving.field_streams.field_stream import FieldStream, OutputField
from workers.serving.field_streams.field_writer import FieldWriter


def cut(answer: str, sizes: Iterable[int]) -> Iterator[str]:
    at = 0
    for size in cycle(sizes):
        if at >= len(answer):
            return
        yield answer[at : at + size]
        at += size


def streamed(writer: FieldWriter, stream: FieldStream, pieces: Iterable[str]) -> list[RunFact]:
    facts: list[RunFact] = []
    for piece in pieces:
        facts += writer.write(stream.feed(piece))
    return [*facts, *writer.write(stream.end())]


def shown(answer_format: AnswerFormat, fields: list[OutputField], *pieces: str) -> dict[str, str]:
    """Return what the stream alone makes of the pieces, without any knowledge of the end."""
    return applied(streamed(FieldWriter("self", fields), field_stream(answer_format, fields), pieces))


def applied(facts: Iterable[RunFact]) -> dict[str, str]:
    """Return field to text, as whoever follows the offsets puts it together."""
    texts: dict[str, str] = {}
    for fact in facts:
        if isinstance(fact, TokenWritten):
            assert fact.text
            assert fact.offset == len(texts.get(fact.field, ""))
            texts[fact.field] = texts.get(fact.field, "") + fact.text
        elif isinstance(fact, TextReplaced):
            texts[fact.field] = fact.text
    return texts


def done(facts: Iterable[RunFact]) -> dict[str, object]:
    return {fact.field: fact.value for fact in facts if isinstance(fact, FieldDone)}


def replaced(facts: Iterable[RunFact]) -> list[str]:
    return [fact.field for fact in facts if isinstance(fact, TextReplaced)]
