"""What each kind of optimizer is going to do, in units of the planner.

The formulas follow DSPy 3.4.1: ``teleprompt/random_search.py`` (seeds -3 … N-1), ``teleprompt/utils.py``
(``create_n_fewshot_demo_sets``) and ``teleprompt/mipro_optimizer_v2.py`` (``adjusted_num_trials``).
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dspy_service.domain.catalogue.entries import ProgressModel
from dspy_service.domain.result import SplitCounts
from workers.runner.planner import Phase, rounds

COMPILE = "compile"
BOOTSTRAP = "compile: bootstrap"
PROPOSE = "compile: propose"
SEARCH = "compile: search"

LOWEST_SUCCESS = 0.2  # a baseline near zero still bootstraps: the teacher sees labelled demos
MIPRO_AUTO = {"light": (6, 100), "medium": (12, 300), "heavy": (18, 1000)}
"""``auto``: candidates and the largest valset, as in DSPy's ``AUTO_RUN_SETTINGS``."""
MIPRO_MINIBATCH_ABOVE = 50
MIPRO_SUMMARY_CALLS = 10


@dataclass(frozen=True)
class Situation:
    """What a plan depends on."""

    counts: SplitCounts
    threads: int
    predictors: int = 1
    success: float = 0.5
    """Mean score of the baseline."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    compile_kwargs: Mapping[str, Any] = field(default_factory=dict)
    gepa_budget: int = 0

    def option(self, name: str, default: Any) -> Any:  # noqa: ANN401  # JSON values of any type
        """Return a compile kwarg, else a constructor kwarg, else ``default``."""
        for source in (self.compile_kwargs, self.kwargs):
            if source.get(name) is not None:
                return source[name]
        return default


def compile_phases(model: ProgressModel, situation: Situation) -> list[Phase]:
    """Return the phases of the compile; empty where nothing can be said."""
    return _PLANS[model](situation)


def _nothing(situation: Situation) -> list[Phase]:  # noqa: ARG001  # one shape for every plan
    return []


def _bootstrap(situation: Situation) -> list[Phase]:
    wanted = int(situation.option("max_bootstrapped_demos", 4))
    return [Phase(COMPILE, _bootstrap_calls(situation, wanted, situation.counts.train))]


def _random_search(situation: Situation) -> list[Phase]:
    wanted = int(situation.option("max_bootstrapped_demos", 4))
    candidates = int(situation.option("num_candidate_programs", 16))
    sets = [random.Random(seed).randint(1, max(1, wanted)) for seed in range(candidates)]  # noqa: S311  # as DSPy draws
    units = sum(_bootstrap_calls(situation, size, situation.counts.train) for size in [wanted, *sets])
    evaluated = situation.counts.val or situation.counts.train
    return [Phase(COMPILE, units + (candidates + 3) * rounds(evaluated, situation.threads))]


def _mipro(situation: Situation) -> list[Phase]:
    auto = situation.kwargs.get("auto", "light")
    train, val = _mipro_sizes(situation.counts)
    zero_shot = not situation.option("max_bootstrapped_demos", 4) and not situation.option("max_labeled_demos", 4)
    wanted = 3 if zero_shot else int(situation.option("max_bootstrapped_demos", 4))
    if auto in MIPRO_AUTO:
        candidates, cap = MIPRO_AUTO[auto]
        val = min(val, cap)
        variables = situation.predictors * (1 if zero_shot else 2)
        trials = int(max(2 * variables * math.log2(candidates), 1.5 * candidates))
        minibatch, proposals = val > MIPRO_MINIBATCH_ABOVE, candidates if zero_shot else candidates // 2
    else:
        candidates = proposals = int(situation.option("num_candidates", 6))
        trials, minibatch = int(situation.option("num_trials", 10)), bool(situation.option("minibatch", True))
    typical = (1 + wanted) / 2
    sets = max(0, candidates - 3)
    bootstrap = _bootstrap_calls(situation, wanted, train) + sets * _bootstrap_calls(situation, typical, train)
    summary = min(MIPRO_SUMMARY_CALLS, math.ceil(train / int(situation.option("view_data_batch_size", 10)))) + 1
    return [
        Phase(BOOTSTRAP, bootstrap),
        Phase(PROPOSE, float(summary + proposals * situation.predictors * 3)),  # program, module, instruction
        Phase(SEARCH, _mipro_search(situation, trials, val, minibatch=minibatch)),
    ]


def _mipro_search(situation: Situation, trials: int, val: int, *, minibatch: bool) -> float:
    full = rounds(val, situation.threads)
    if not minibatch:
        return (trials + 1) * full
    steps = int(situation.option("minibatch_full_eval_steps", 5))
    batch = rounds(min(val, int(situation.option("minibatch_size", 35))), situation.threads)
    full_evaluations = trials // steps + 1 + (1 if trials % steps else 0)
    return trials * batch + full_evaluations * full


def _mipro_sizes(counts: SplitCounts) -> tuple[int, int]:
    """Without a valset DSPy takes 80 % of the trainset, at most 1 000 rows."""
    if counts.val:
        return counts.train, counts.val
    val = min(1000, max(1, int(counts.train * 0.8)))
    return counts.train - val, val


def _gepa(situation: Situation) -> list[Phase]:
    """GEPA's own budget counts the steps; the units are a first guess until its pace is known.

    An iteration makes about six metric calls in two rounds and one reflection; accepted candidates see the valset.
    """
    budget = situation.gepa_budget
    units = 0.7 * budget / 6 * 3 + 0.3 * budget / situation.threads
    return [Phase(COMPILE, units, steps=float(budget))]


def _bootstrap_calls(situation: Situation, wanted: float, train: int) -> float:
    """Return the expected calls until ``wanted`` rows succeeded, one after the other."""
    return float(min(train, wanted / max(LOWEST_SUCCESS, min(1.0, situation.success))))


_PLANS: Mapping[ProgressModel, Callable[[Situation], list[Phase]]] = {
    "none": _nothing,
    "metric_calls": _nothing,
    "bootstrap": _bootstrap,
    "random_search": _random_search,
    "mipro": _mipro,
    "gepa": _gepa,
}
