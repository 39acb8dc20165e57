"""Says what a finished job achieved, in lines for people."""

import textwrap
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from dspy_service.domain.result import Comparison, RunResponse, Usage

_WIDTH = 100  # characters of a prompt's line

_VERDICTS = {
    "improved": "a real improvement",
    "not_shown": "no improvement shown",
    "worse": "worse than before",
}


def tell(result: RunResponse) -> Iterator[str]:
    """Yield the lines: scores, winning prompt, usage, artifact."""
    yield from _scores(result)
    yield from _prompts(result.optimization_metadata.get("winning_prompts"))
    yield ""
    yield _usage(result.usage)
    seconds = "unknown time" if result.runtime_seconds is None else f"{result.runtime_seconds:.1f} s"
    yield f"Took {seconds}, confined at sandbox level {result.sandbox_level or 'unknown'}."
    yield f"The program: {result.program_artifact_path}"


def _scores(result: RunResponse) -> Iterator[str]:
    before, after = result.baseline_test_metric, result.optimized_test_metric
    yield f"Score on held-out test rows: {_percent(before)} → {_percent(after)}"
    if result.comparison is not None:
        yield _interval(result.comparison)


def _interval(comparison: Comparison) -> str:
    low, high = 100 * comparison.interval_low, 100 * comparison.interval_high
    return (
        f"Difference {100 * comparison.difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}, "
        f"p = {comparison.p_value:.3g}, {comparison.rows_used} rows): {_VERDICTS[comparison.verdict]}."
    )


def _prompts(prompts: JsonValue) -> Iterator[str]:
    """Show the instructions and demonstrations that won, predictor by predictor."""
    if not isinstance(prompts, Mapping):
        return
    for name, prompt in prompts.items():
        if isinstance(prompt, Mapping):
            yield ""
            yield f"The winning prompt of `{name}`, shown with {prompt.get('demos', 0)} demonstrations:"
            for line in str(prompt.get("instructions", "")).splitlines():
                yield from textwrap.wrap(line, _WIDTH, initial_indent="  ", subsequent_indent="      ")


def _usage(usage: Usage) -> str:
    roles = "; ".join(
        f"{role} {spent.calls} calls" + (f" and {spent.cached_calls} repeated for free" if spent.cached_calls else "")
        for role, spent in usage.roles.items()
    )
    cost = "no price known" if usage.cost_usd is None else f"{usage.cost_usd:.4f} USD"
    return f"Model usage: {usage.total_calls} calls, {usage.total_tokens} tokens, {cost} ({roles})."


def _percent(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.1%}"
