"""A module of an operator's own, as ``configure_registry`` would name it: an agent with tools."""

from typing import Any

import dspy

FACTORY = "tests.support.operators.weather_agent"


def weather(city: str) -> str:
    """Say how the weather is."""
    return f"It is sunny in {city}."


async def population(city: str) -> int:
    """Say how many people live there."""
    return len(city) * 1_000_000


def weather_agent(signature: Any, **options: Any) -> dspy.Module:  # noqa: ANN401  # as a factory is called
    """Build the agent around a signature."""
    return dspy.ReAct(signature, tools=[weather, population], **options)
