"""The options of a served ``dspy.LM``: a version's, and a run's on top."""

from collections.abc import Mapping
from typing import Any, Final

import dspy

from dspy_service.domain.spec import ModelSettings

RUN_OPTIONS: Final = ("temperature", "top_p", "max_tokens", "stop", "seed")
"""What a run may change."""


def lm_options(settings: ModelSettings) -> dict[str, Any]:
    """Return what DSPy's model is made with, as a job's runner gives it."""
    options: dict[str, Any] = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    if settings.top_p is not None:
        options["top_p"] = settings.top_p
    options.update(settings.extra)
    if settings.model_type is not None:
        options["model_type"] = settings.model_type
    return options


def with_options(lm: dspy.LM, options: Mapping[str, Any]) -> dspy.LM:
    """Return the model with a run's own options on top; null ones change nothing."""
    changes = {name: value for name in RUN_OPTIONS if (value := options.get(name)) is not None}
    if "max_tokens" in changes and "max_completion_tokens" in lm.kwargs:
        changes["max_completion_tokens"] = changes.pop("max_tokens")
    return lm.copy(**changes) if changes else lm
