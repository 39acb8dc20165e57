"""ChatAdapter's prompt with an answer that is nothing but the one text field: the model's first token is the field's.

Instructions, descriptions, inputs and demonstrations stand in the same messages in the same order; only what is said
about the form of the answer differs, and the assistant's turns carry the bare text.
"""

from typing import Any, Final

import dspy
from dspy.adapters.chat_adapter import FieldInfoWithName
from dspy.adapters.utils import translate_field_type

WHOLE_ANSWER: Final = "The whole answer is the text of `{name}`: no name, no marker and no quotes around it."
"""In the system message; the demo model knows the format by it."""
_REMINDER: Final = "Respond with the text of `{name}` and nothing else."


class PlainTextAdapter(dspy.ChatAdapter):  # type: ignore[misc]  # DSPy is untyped
    """For signatures whose only output is a ``str``; every answer but an empty one can be read."""

    def __init__(self) -> None:
        super().__init__(use_json_adapter_fallback=False)

    def format_field_structure(self, signature: type[dspy.Signature]) -> str:
        """Describe the inputs as ChatAdapter does, and the answer as text."""
        inputs = self.format_field_with_value(
            {
                FieldInfoWithName(name, info): translate_field_type(name, info)
                for name, info in signature.input_fields.items()
            }
        )
        head = "All interactions will be structured in the following way, with the appropriate values filled in."
        return "\n\n".join((head, inputs, WHOLE_ANSWER.format(name=_only_output(signature))))

    def user_message_output_requirements(self, signature: type[dspy.Signature]) -> str:
        """Remind of it at the end of a question."""
        return _REMINDER.format(name=_only_output(signature))

    def format_assistant_message_content(
        self, signature: type[dspy.Signature], outputs: dict[str, Any], missing_field_message: str | None = None
    ) -> str:
        """Return the bare text."""
        return str(outputs.get(_only_output(signature), missing_field_message))

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Return the answer without the whitespace around it."""
        return {_only_output(signature): completion.strip()}


def _only_output(signature: type[dspy.Signature]) -> str:
    (name,) = signature.output_fields
    return str(name)
