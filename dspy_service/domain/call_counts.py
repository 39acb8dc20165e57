"""What language model calls came to, all jobs and tenants together: counters for operators, which only grow."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class CallFigure(StrEnum):
    """What is counted."""

    ANSWERED = "answered"
    REPLAYED = "replayed"
    REPEATED = "repeated"
    SHARED = "shared"
    FAILED = "failed"
    OVER_BUDGET = "over_budget"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    COST_NANO_USD = "cost_nano_usd"
    UNPRICED = "unpriced"
    ESTIMATED = "estimated"
    RATE_LIMITS = "rate_limits"
    WAITED_MILLISECONDS = "waited_ms"


class CallCount(NamedTuple):
    """One counter."""

    figure: CallFigure
    role: str = ""
    """Empty: roles share a model, and it is not known whose it was."""


CallCounts = Mapping[CallCount, int]
"""Whole numbers, so that sums of many stay exact."""

NANOS_PER_USD: Final = 1_000_000_000
