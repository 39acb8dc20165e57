"""Watches a compile from inside DSPy and GEPA, and tells trials, candidates and the best score so far."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from workers.runner.contest import Contest, with_texts
from workers.runner.failures import JobEnd
from workers.runner.planner import Planner, rounds
from workers.runner.reporting import Reporter, plain


class Trials:
    """The candidates and their scores, however they were learnt."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._lock = threading.Lock()
        self._candidates: dict[str, int] = {}
        self.count = 0
        """Evaluations so far."""
        self.best: float | None = None
        """Highest score on the full valset, 0 to 1 for such a metric; minibatch scores never compete."""
        self._best_rank: float | None = None

    @property
    def candidates(self) -> int:
        """Distinct programs so far."""
        return len(self._candidates)

    def candidate_of(self, program: dspy.Module) -> int:
        """Return the number of a program with these instructions and demos; a new one is reported."""
        predictors = program.named_predictors()
        key = str([(name, predictor.signature.instructions, predictor.demos) for name, predictor in predictors])
        instructions = {name: predictor.signature.instructions for name, predictor in predictors}
        demos = {name: len(predictor.demos) for name, predictor in predictors}
        return self.propose(key, instructions=instructions, demos=demos)

    def propose(self, key: str, *, instructions: Mapping[str, str], **more: Any) -> int:  # noqa: ANN401  # event data
        """Return the number of the candidate that ``key`` names; a new one is reported."""
        with self._lock:
            number = self._candidates.get(key)
            if number is not None:
                return number
            number = self._candidates[key] = len(self._candidates)
        self._reporter.candidate({"candidate": number, "instructions": dict(instructions), **more})
        return number

    def scored(self, candidate: int, score: float, *, rows: int, full: bool, rank: float | None = None) -> bool:
        """Report one evaluation, and return whether it is the best on the full valset so far.

        Args:
            candidate: Its number.
            score: Mean of the metric.
            rows: How many rows were scored.
            full: Whether that is the whole valset.
            rank: What the optimizer compares, such as a rounded percentage; None: the score itself.
        """
        rank = score if rank is None else rank
        with self._lock:
            number = self.count = self.count + 1
            is_best = full and (self._best_rank is None or rank > self._best_rank)
            if is_best:
                self.best, self._best_rank = score, rank
        kind = "full" if full else "minibatch"
        self._reporter.trial({"trial": number, "score": score, "kind": kind, "rows": rows, "candidate": candidate})
        if is_best:
            self._reporter.progress("new_best_score", {"best_score": score, "candidate": candidate})
        return is_best


@dataclass(frozen=True)
class _Evaluation:
    """An evaluation that runs."""

    program: dspy.Module
    candidate: int | None
    rows: int
    full: bool


class EvaluationWatcher(BaseCallback):  # type: ignore[misc]  # DSPy is untyped
    """DSPy's callbacks during a compile.

    ``full_rows`` is the size of a full evaluation, for optimizers that do not mark theirs. With ``count_trials`` off
    (GEPA tells its own) only the pace is kept.
    """

    def __init__(
        self,
        trials: Trials,
        reporter: Reporter,
        planner: Planner,
        pace: "Pace",
        *,
        contest: Contest | None,
        full_rows: int,
        count_trials: bool,
        search_phase: str | None = None,
        propose_phase: str | None = None,
    ) -> None:
        self._trials = trials
        self._reporter = reporter
        self._planner = planner
        self._pace = pace
        self._contest = contest
        self._full_rows = full_rows
        self._count_trials = count_trials
        self._search_phase = search_phase
        self._propose_phase = propose_phase
        self._running: dict[str, _Evaluation] = {}

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ANN401  # untyped
        """Remember what is being evaluated."""
        if self._search_phase is not None:
            self._planner.enter(self._search_phase)
        rows = len(inputs.get("devset") or instance.devset)
        self._pace.evaluating(rows)
        mark = (inputs.get("callback_metadata") or {}).get("metric_key")
        full = mark == "eval_full" if mark else rows >= self._full_rows
        program = inputs["program"]
        candidate = self._trials.candidate_of(program) if self._count_trials else None
        self._running[call_id] = _Evaluation(program, candidate, rows, full)

    def on_lm_start(
        self,
        call_id: str,  # noqa: ARG002  # DSPy's signature
        instance: Any,  # noqa: ANN401  # DSPy is untyped
        inputs: dict[str, Any],  # noqa: ARG002  # DSPy's signature
    ) -> None:
        """Count calls of the instruction proposer, which calls no metric."""
        if self._propose_phase is not None and getattr(instance, "role", "") == "prompt":
            self._planner.enter(self._propose_phase)
            self._planner.step()

    def on_evaluate_end(
        self,
        call_id: str,
        outputs: Any,  # noqa: ANN401  # DSPy is untyped
        exception: BaseException | None = None,
    ) -> None:
        """Report the score. Raises Stopped when that was enough."""
        self._pace.alone()
        ended = self._running.pop(call_id, None)
        if ended is None or isinstance(exception, JobEnd):
            return
        if exception is not None:
            self._reporter.warning("evaluation_failed", f"An evaluation of {ended.rows} rows failed: {exception}")
        elif ended.candidate is not None and ended.rows:
            self._scored(ended, ended.candidate, outputs)

    def _scored(self, ended: _Evaluation, candidate: int, outputs: Any) -> None:  # noqa: ANN401  # DSPy is untyped
        if self._contest is not None:
            self._contest.check()
        score = mean_score(outputs)
        is_best = self._trials.scored(candidate, score, rows=ended.rows, full=ended.full, rank=float(outputs.score))
        if ended.full and self._contest is not None:
            self._contest.evaluated(ended.program.deepcopy, score, is_best=is_best)


class GepaWatcher:
    """GEPA's callbacks; GEPA swallows every Exception that they raise, but not Stopped."""

    def __init__(self, trials: Trials, planner: Planner, contest: Contest | None, *, student: dspy.Module) -> None:
        self._trials = trials
        self._planner = planner
        self._contest = contest
        self._student = student
        self.metric_calls = 0
        self.rejected = 0
        self.accepted = 0

    def on_budget_updated(self, event: Mapping[str, Any]) -> None:
        """Keep GEPA's own count: it is what its budget limits."""
        self.metric_calls = int(event["metric_calls_used"])
        self._planner.reach(self.metric_calls)

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """Report a candidate with its score on the valset. Raises Stopped when that was enough."""
        if self._contest is not None:
            self._contest.check()
        number = self._trials.propose(
            f"gepa:{event['candidate_idx']}",
            instructions=event["candidate"],
            parents=plain(list(event.get("parent_ids") or [])),
            score=float(event["average_score"]),
        )
        rows = int(event["num_examples_evaluated"])
        full = rows >= int(event["total_valset_size"])
        score = float(event["average_score"])
        is_best = self._trials.scored(number, score, rows=rows, full=full)
        if full and self._contest is not None:
            texts = dict(event["candidate"])
            self._contest.evaluated(lambda: with_texts(self._student, texts), score, is_best=is_best)

    def on_candidate_accepted(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002  # GEPA's signature
        """Count it."""
        self.accepted += 1

    def on_candidate_rejected(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002  # GEPA's signature
        """Count it."""
        self.rejected += 1


class Pace:
    """How many units of the plan one metric call is: 1 alone, a share of a round within an evaluation."""

    def __init__(self, planner: Planner, *, threads: int) -> None:
        self._planner = planner
        self._threads = threads
        self._units = 1.0
        self.counts = True
        """Whether metric calls move the plan; GEPA's own budget does it instead."""

    def evaluating(self, rows: int) -> None:
        """An evaluation of ``rows`` rows began."""
        self._units = rounds(rows, self._threads) / rows if rows else 1.0

    def alone(self) -> None:
        """It ended; calls follow each other again."""
        self._units = 1.0

    def metric_called(self) -> None:
        """Count one metric call."""
        if self.counts:
            self._planner.step(self._units)


def mean_score(evaluation: Any) -> float:  # noqa: ANN401  # DSPy is untyped
    """Return the mean of an evaluation's scores; its own figure is a percentage rounded to two digits."""
    scores = row_scores(evaluation)
    return sum(scores) / len(scores) if scores else 0.0


def row_scores(evaluation: Any) -> list[float]:  # noqa: ANN401  # DSPy is untyped
    """Return the score of each row, in order; a row whose program or metric failed has 0."""
    return [float(score) for _, _, score in evaluation.results]
