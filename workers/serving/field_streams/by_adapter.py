"""The field stream for an adapter."""

from collections.abc import Sequence
from typing import Literal

from workers.serving.field_streams.chat import ChatStream
from workers.serving.field_streams.field_stream import FieldDelta, FieldStream, OutputField
from workers.serving.field_streams.json_object import JsonObjectStream
from workers.serving.field_streams.plain_text import PlainTextStream
from workers.serving.field_streams.xml_elements import XmlStream

AnswerFormat = Literal["chat", "json", "xml", "plain", "unknown"]
"""``plain``: the answer is the one text field. ``unknown``: nobody can tell before the answer is parsed."""


class SilentStream:
    """For an answer in an unknown format: its fields are sent whole when they are reconciled."""

    def feed(self, delta: str) -> list[FieldDelta]:  # noqa: ARG002  # the protocol's
        """Return nothing."""
        return []

    def end(self) -> list[FieldDelta]:
        """Return nothing."""
        return []


def field_stream(answer_format: AnswerFormat, fields: Sequence[OutputField]) -> FieldStream:
    """Return a new stream over one answer.

    Args:
        answer_format: How the adapter of the call lays its answer out; ``plain`` needs exactly one output field.
        fields: The output fields of the signature that the adapter was given for this call.
    """
    match answer_format:
        case "chat":
            return ChatStream(fields)
        case "json":
            return JsonObjectStream(fields)
        case "xml":
            return XmlStream(fields)
        case "plain":
            (field,) = fields
            return PlainTextStream(field.name) if field.is_text else SilentStream()
        case _:
            return SilentStream()
