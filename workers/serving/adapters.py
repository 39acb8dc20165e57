"""DSPy's adapters by the name that a version gives; they keep no state, so all runs share them."""

from collections.abc import Mapping
from typing import Final

import dspy

from dspy_service.domain.serving.program import AdapterName
from workers.serving.plain_adapter import PlainTextAdapter

ADAPTERS: Final[Mapping[AdapterName, dspy.Adapter]] = {
    "chat": dspy.ChatAdapter(),
    "json": dspy.JSONAdapter(),
    "xml": dspy.XMLAdapter(),
    "text": PlainTextAdapter(),
}
