"""Draws how the score rose, from a job's trial events; needs matplotlib, which is asked for only then."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dspy_service.domain.events import Event, EventType
from dspy_service.domain.result import RunResponse

_SIZE_INCHES = (8.0, 4.5)
_DOTS_PER_INCH = 120


@dataclass(frozen=True)
class Trial:
    """One evaluation of one candidate on validation rows."""

    number: int
    score: float
    is_full: bool
    """On all validation rows, not on a sample of them."""


def trials_of(events: Iterable[Event]) -> list[Trial]:
    """Return the trials of the last attempt, in order."""
    found = [event for event in events if event.type is EventType.TRIAL]
    last_attempt = max((event.attempt for event in found), default=0)
    trials = []
    for event in found:
        number, score = event.data.get("trial"), event.data.get("score")
        if event.attempt == last_attempt and isinstance(number, int) and isinstance(score, int | float):
            trials.append(Trial(number, float(score), event.data.get("kind") == "full"))
    return trials


def save_plot(trials: list[Trial], result: RunResponse, path: Path) -> bool:
    """Write a PNG; False when matplotlib is not installed.

    Points are trials, the line is the best full score so far, and the dashed lines are the held-out test rows.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        return False
    matplotlib.use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH)
    for is_full, label, marker in ((False, "trial on a sample", "."), (True, "trial on all validation rows", "o")):
        chosen = [trial for trial in trials if trial.is_full is is_full]
        axes.plot([t.number for t in chosen], [t.score for t in chosen], marker, label=label)
    axes.step(*best_so_far(trials), where="post", label="best so far")
    for score, label, colour in (
        (result.baseline_test_metric, "baseline on the test rows", "tab:red"),
        (result.optimized_test_metric, "optimized on the test rows", "tab:green"),
    ):
        if score is not None:
            axes.axhline(score, linestyle="--", color=colour, label=f"{label}: {score:.1%}")
    axes.set(xlabel="trial", ylabel="score", title=f"{result.optimizer_name} on the sample tickets", ylim=(0, 1.02))
    axes.legend(loc="lower right", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    pyplot.close(figure)
    return True


def best_so_far(trials: list[Trial]) -> tuple[list[int], list[float]]:
    """Return trial numbers and the best full score up to each."""
    numbers: list[int] = []
    scores: list[float] = []
    for trial in trials:
        if trial.is_full:
            numbers.append(trial.number)
            scores.append(max([trial.score, *scores[-1:]]))
    return numbers, scores
