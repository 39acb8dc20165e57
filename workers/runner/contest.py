"""The best program so far: scored on the whole valset, copied at once, at hand whenever the compile ends early."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dspy
from dspy.teleprompt.gepa.gepa_flex_utils import rebind_flex_code

from workers.runner.artifact import strip
from workers.runner.bounds import ScoreBound
from workers.runner.failures import describe
from workers.runner.reporting import Reporter


@dataclass(frozen=True)
class BestProgram:
    """What the optimizer would return if it ended now."""

    program: dspy.Module = field(repr=False)
    """A copy without models and without the optimizer's own attributes."""
    score: float
    """On the whole valset."""


class Contest:
    """Takes every program that was scored on the whole valset, and keeps the best one.

    Args:
        student: The program that is compiled; it tells which attributes a program has of its own.
        bound: Ends the compile when the best is good enough.
        won: Called with each new best, on the compile's thread.
        reporter: Is told when a program cannot be copied.
    """

    def __init__(
        self,
        student: dspy.Module,
        *,
        bound: ScoreBound,
        won: Callable[[BestProgram], None],
        reporter: Reporter,
    ) -> None:
        self._student = student
        self._bound = bound
        self._won = won
        self._reporter = reporter
        self.best: BestProgram | None = None

    def check(self) -> None:
        """Raise Stopped where an evaluation cannot count: submitted code may have swallowed that it was stopped."""
        self._bound.check()

    def evaluated(self, copy: Callable[[], dspy.Module], score: float, *, is_best: bool) -> None:
        """Note an evaluation on the whole valset; ``copy`` makes a program that is ours.

        Raises:
            Stopped: it was enough.
        """
        if is_best:
            self._keep(copy, score)
        if self.best is not None:  # else there is nothing to end with
            self._bound.evaluated(score, is_best=is_best)

    def _keep(self, copy: Callable[[], dspy.Module], score: float) -> None:
        try:
            program = copy()
            strip(program, like=self._student)
        except Exception as error:  # noqa: BLE001  # copying runs submitted code; the compile itself may still end well
            self._reporter.warning("best_not_kept", f"The best program so far cannot be copied: {describe(error)}")
            return
        self.best = BestProgram(program, score)
        self._won(self.best)


def with_texts(student: dspy.Module, texts: Mapping[str, str]) -> dspy.Module:
    """Return the program of one of GEPA's candidates, which are texts by predictor, as GEPA itself builds it."""
    program = student.deepcopy()
    rebind_flex_code(program, texts)
    for name, predictor in program.named_predictors():
        if name in texts:
            predictor.signature = predictor.signature.with_instructions(texts[name])
    return program
