"""Scores a program on rows: the dry run before anything is spent, and the two measurements on the test split."""

from collections.abc import Sequence
from dataclasses import dataclass

import dspy
from dspy.utils.exceptions import AdapterParseError

from workers.runner.failures import JobEnd, JobFailed, failure_of
from workers.runner.metric import Metric
from workers.runner.observing import row_scores
from workers.runner.reporting import Reporter

DRY_ROWS = 3
UNLIMITED_ERRORS = 1_000_000
"""For DSPy's ``max_errors``, whose default of 10 ends any evaluation; our fuses for models and metric decide."""


@dataclass(frozen=True)
class Scores:
    """One measurement."""

    rows: tuple[float, ...]
    unanswered: int
    """Rows without a prediction: the model's answer did not parse, or the program failed."""

    @property
    def mean(self) -> float | None:
        """Mean score; None without rows."""
        return sum(self.rows) / len(self.rows) if self.rows else None


def dry_run(
    program: dspy.Module,
    rows: Sequence[dspy.Example],
    *,
    metric: Metric,
    reporter: Reporter,
) -> None:
    """Ask the program and the metric once, on up to three rows, before anything is spent on optimizing.

    One good row is enough. Its model answer is not lost: the journal serves it again to the baseline.

    Raises:
        JobFailed: every row failed, with the user's own traceback.
    """
    problem: JobFailed | None = None
    for row in rows[:DRY_ROWS]:
        try:
            _try_row(program, row, metric)
        except AdapterParseError as error:
            text = str(error).split("\n", 1)[0]
            reporter.warning("unparsable_answer", f"The model's answer to a row could not be read: {text}")
        except JobFailed as error:
            problem = error
        else:
            return
    if problem is not None:
        raise problem


def _try_row(program: dspy.Module, row: dspy.Example, metric: Metric) -> None:
    try:
        prediction = program(**row.inputs())
    except (JobEnd, AdapterParseError):
        raise
    except BaseException as error:
        raise JobFailed(failure_of(error, kind="program_error")) from error
    try:
        metric(row, prediction)
    except Exception as error:
        raise JobFailed(metric.failure_of(error)) from error


def measure(program: dspy.Module, rows: Sequence[dspy.Example], *, metric: Metric, num_threads: int) -> Scores:
    """Score the program on every row; a row that fails has 0. No rows, no scores."""
    if not rows:
        return Scores((), 0)
    evaluate = dspy.Evaluate(
        devset=list(rows),
        metric=metric,
        num_threads=num_threads,
        display_progress=True,  # read by our bars, drawn by nobody
        max_errors=UNLIMITED_ERRORS,
    )
    result = evaluate(program)
    unanswered = sum(1 for _, prediction, _ in result.results if not list(prediction.keys()))
    return Scores(tuple(row_scores(result)), unanswered)
