"""Shows a running job: a live bar on a terminal, a line now and then anywhere else."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dspy_service.client.answers import JobSummary

LINE_GAP_SECONDS = 3.0  # between plain lines of the same news

_PHASES = {
    "dataset_splits_ready": "measuring the baseline",
    "baseline_evaluated": "preparing",
    "optimizer_started": "optimizing",
    "optimizer_progress": "optimizing",
    "new_best_score": "optimizing",
    "optimizer_finished": "measuring the result",
    "optimizer_stopped": "measuring the result",
    "optimized_evaluated": "packing",
}

Show = Callable[[JobSummary], None]


@contextmanager
def watching(console: Console) -> Iterator[Show]:
    """Give a function that shows each summary, until the block ends."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[score]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[eta]}"),
    )
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        row = progress.add_task("waiting for a worker", total=1.0, score="", eta="")

        def show(summary: JobSummary) -> None:
            progress.update(
                row,
                description=phase_of(summary),
                completed=share_done(summary, progress.tasks[0].elapsed or 0.0),
                score=score_of(summary),
                eta=eta_of(summary),
                refresh=True,
            )

        yield show


class _Lines:
    """Plain lines for logs: one at each new phase or score, and one every few seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last_news = ("", "")
        self._last_line = 0.0

    def show(self, summary: JobSummary) -> None:
        """Print what is new."""
        news, now = (phase_of(summary), score_of(summary)), self._clock()
        if news == self._last_news and now - self._last_line < LINE_GAP_SECONDS:
            return
        self._last_news, self._last_line = news, now
        self._console.print("  ".join(part for part in (*news, eta_of(summary)) if part))


def phase_of(summary: JobSummary) -> str:
    """Say what the job does now."""
    if summary.status == "running":
        return _PHASES.get(summary.message or "", "optimizing")
    return "waiting for a worker" if summary.status == "pending" else summary.status.value


def score_of(summary: JobSummary) -> str:
    """Return the best score so far, else the baseline; they stand on different rows, so each says on which."""
    for name, words in (
        ("best_score", "best so far {:.1%} on validation rows"),
        ("baseline_test_metric", "baseline {:.1%} on test rows"),
    ):
        score = summary.latest_metrics.get(name)
        if isinstance(score, int | float):
            return words.format(score)
    return ""


def eta_of(summary: JobSummary) -> str:
    """Return the expected rest."""
    seconds = summary.estimated_seconds_remaining
    return "" if seconds is None else f"about {seconds:.0f} s left"


def share_done(summary: JobSummary, elapsed_seconds: float) -> float:
    """Return the done share, 0 to 1; 0 while nothing is known."""
    rest = summary.estimated_seconds_remaining
    if summary.status.is_terminal:
        return 1.0
    return 0.0 if rest is None else elapsed_seconds / max(elapsed_seconds + rest, 1e-9)
