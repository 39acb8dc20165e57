"""What the calls of a job cost, counted at the server that answered them, and when a budget was reached."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.support.openai_server import Received

USD_PER_PROMPT_TOKEN: Final = 2e-6
USD_PER_COMPLETION_TOKEN: Final = 8e-6


def tokens_of(call: Received) -> int:
    """Return the tokens of an answered call."""
    return sum(_counts(call))


def usd_of(call: Received) -> float:
    """Return what an answered call cost."""
    prompt, completion = _counts(call)
    return prompt * USD_PER_PROMPT_TOKEN + completion * USD_PER_COMPLETION_TOKEN


def models_file(names: Sequence[str], origin: str) -> str:
    """Return the text of a MODELS_FILE that names these prices for models behind ``origin``."""
    return "\n".join(
        f'[prices."openai/{name}@{origin}"]\n'
        f"input_usd_per_million_tokens = {USD_PER_PROMPT_TOKEN * 1e6:g}\n"
        f"output_usd_per_million_tokens = {USD_PER_COMPLETION_TOKEN * 1e6:g}\n"
        for name in names
    )


@dataclass(frozen=True)
class Overshoot:
    """What a job did beyond a bound on its calls, seen from the server."""

    used: float
    """Of everything, in the bound's own unit."""
    calls: int
    """Answered after the bound was reached; those that were in flight then, if all is well."""
    in_flight: int
    """Open at the server when the bound was reached."""


def overshoot(calls: Sequence[Received], bound: str, limit: float) -> Overshoot:
    """Return what was done beyond ``max_lm_calls``, ``max_tokens`` or ``max_usd``.

    Args:
        calls: Of one job that has ended.
        bound: Its name in a budget.
        limit: Its value.
    """
    answered = sorted((call for call in calls if call.answered_at is not None), key=lambda call: call.answered_at or 0)
    used, reached_at, beyond = 0.0, None, 0
    for call in answered:
        beyond += reached_at is not None
        used += _COSTS[bound](call)
        if reached_at is None and used >= limit:
            reached_at = call.answered_at
    return Overshoot(used, beyond, 0 if reached_at is None else in_flight_at(calls, reached_at))


def in_flight_at(calls: Sequence[Received], moment: float) -> int:
    """Return how many calls were open at the server at a moment (``time.monotonic``)."""
    return sum(call.arrived_at <= moment and (call.answered_at is None or call.answered_at > moment) for call in calls)


def wall_clock_of(moment: float) -> float:
    """Return when a moment of ``time.monotonic`` was, in seconds since 1970."""
    return moment + time.time() - time.monotonic()


def _counts(call: Received) -> tuple[int, int]:
    if call.reply is None or call.reply.prompt_tokens is None or call.reply.completion_tokens is None:
        raise ValueError("This server did not say how many tokens its answer has.")
    return call.reply.prompt_tokens, call.reply.completion_tokens


_COSTS: Final[Mapping[str, Callable[[Received], float]]] = {
    "max_lm_calls": lambda _call: 1,
    "max_tokens": tokens_of,
    "max_usd": usd_of,
}
