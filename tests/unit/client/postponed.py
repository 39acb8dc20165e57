"""A signature and a metric written under postponed annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import dspy

from tests.unit.client.subjects import Person, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

Answer = Literal["yes", "no"]


class Judge(dspy.Signature):
    """Judge the person."""

    person: Person = dspy.InputField()
    answer: Answer | None = dspy.OutputField()


def judged(gold: Mapping[str, str], pred: Mapping[str, str], trace: object = None) -> bool:
    return normalise(gold["answer"]) == normalise(pred["answer"])
