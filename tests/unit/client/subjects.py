"""Signatures and metrics as people write them, to be turned into source."""
# ruff: noqa: ANN401, ARG005  # metrics take whatever the program gives, and seldom look at the trace

import enum
import logging
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Optional

import dspy
import pydantic
from pydantic import BaseModel

Team = Literal["billing", "delivery", 'it\'s "other"']
NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.IGNORECASE)
WEIGHTS = {"exact": 1.0, "close": 0.5}
STOP_WORDS = frozenset({"a", "the"})
LOGGER = logging.getLogger("subjects")
CALIBRATED = object()


class Urgency(enum.Enum):
    """How soon."""

    LOW = "low"
    HIGH = "high"


DEFAULT_URGENCY = Urgency.LOW


class Address(BaseModel):
    street: str
    number: int = pydantic.Field(ge=1)


class Person(BaseModel):
    name: str
    addresses: list[Address] = []
    urgency: Urgency = DEFAULT_URGENCY

    @pydantic.field_validator("name")
    @classmethod
    def _strip(cls, value: str) -> str:
        return NUMBER.sub("", value).strip()


class Route(dspy.Signature):
    """Route the "ticket" to a team."""

    ticket: str = dspy.InputField(desc="what the customer wrote")
    team: Team = dspy.OutputField()


class Extract(dspy.Signature):
    """Extract people.

    Keep the order.
    """

    text: str = dspy.InputField()
    language: Optional[str] = dspy.InputField(default=None)  # noqa: UP045  # the old spelling must travel too
    people: list[Person] = dspy.OutputField(desc="everybody")
    counts: dict[str, tuple[int, ...]] = dspy.OutputField()
    when: date | None = dspy.OutputField()
    urgency: Urgency = dspy.OutputField()
    confidence: float = dspy.OutputField(ge=0, le=1)
    tags: Annotated[list[str], "short"] = dspy.OutputField()
    image: dspy.Image | None = dspy.OutputField()


class Careful(Route):
    """Route with care."""

    reason: str = dspy.OutputField()


@dataclass
class Verdict:
    score: float


def normalise(text: str) -> str:
    return " ".join(word for word in text.lower().split() if word not in STOP_WORDS)


def _verdict(left: str, right: str) -> Verdict:
    return Verdict(WEIGHTS["exact"] if normalise(left) == normalise(right) else 0.0)


def exact_team(gold: Any, pred: Any, trace: Any = None) -> float:
    """Compare teams."""
    return _verdict(gold.team, pred.team).score


def same_numbers(gold: Any, pred: Any, trace: Any = None) -> bool:
    LOGGER.debug("comparing %s", gold)
    return Counter(NUMBER.findall(gold.team)) == Counter(NUMBER.findall(pred.team))


def countdown(gold: Any, pred: Any, trace: Any = None) -> float:
    return 0.0 if gold == 0 else 1.0 + countdown(gold - 1, pred) * 0


def uses_an_object(gold: Any, pred: Any, trace: Any = None) -> bool:
    return CALIBRATED is gold


def uses_nothing_known(gold: Any, pred: Any, trace: Any = None) -> bool:
    return bool(not_anywhere)  # type: ignore[name-defined]  # noqa: F821  # the mistake under test


def imports_inside(gold: Any, pred: Any, trace: Any = None) -> float:
    import math  # noqa: PLC0415  # people do

    return math.sqrt(gold)


def make_closure(threshold: float) -> Any:
    def above(gold: Any, pred: Any, trace: Any = None) -> bool:
        return pred > threshold

    return above


by_length = lambda gold, pred, trace=None: float(len(gold) == len(pred))  # noqa: E731  # people do
