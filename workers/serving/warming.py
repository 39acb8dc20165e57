"""Does once, before anybody waits for it, what the first run of a process would: imports and caches inside DSPy."""

import asyncio
from typing import Final

import dspy

from dspy_service.domain.spec import ModelSettings
from workers.lm.demo.options import MODEL_NAME
from workers.lm.meter import Meter
from workers.serving.answer_cache import ROLE
from workers.serving.lm import CALLS, RunCalls
from workers.serving.models import ServedModels

_DEMO: Final = ModelSettings(name=MODEL_NAME)


async def warm(models: ServedModels) -> None:
    """Ask the demo model something, which takes a quarter of a second the first time."""
    await asyncio.create_task(_ask(models))  # whose context variables nobody else sees


async def _ask(models: ServedModels) -> None:
    model = models.of(_DEMO)
    as_of = model.engine.target.prices_as_of
    CALLS.set(RunCalls(tenant="", meter=Meter({ROLE: _DEMO.name}, prices_as_of=as_of), listen=lambda: None))
    with dspy.context(lm=model.lm, adapter=dspy.ChatAdapter(), disable_history=True, trace=None):
        await dspy.Predict("question -> answer").acall(question="Does it work?")
