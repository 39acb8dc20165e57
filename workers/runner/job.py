"""One job from its order to its terminal frame, in the stages that a user reads in the events."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dspy

from dspy_service.domain.comparison import compare
from dspy_service.domain.result import RunnerResult
from dspy_service.domain.splits import split_rows
from workers.runner import sources
from workers.runner.artifact import send_files, strip
from workers.runner.bars import BarReader, reading
from workers.runner.capture import capture
from workers.runner.channel import Channel
from workers.runner.evaluation import UNLIMITED_ERRORS, Scores, dry_run, measure
from workers.runner.failures import Cancelled, failure_of
from workers.runner.metric import Metric
from workers.runner.models import RoleTally
from workers.runner.observing import EvaluationWatcher, GepaWatcher, Pace, Trials
from workers.runner.optimizer import Examples, Optimization, build_optimization, gepa_budget
from workers.runner.order import Order
from workers.runner.outcome import artifact_files, optimization_metadata
from workers.runner.planner import Phase, Planner, rounds
from workers.runner.plans import BOOTSTRAP, COMPILE, PROPOSE, SEARCH, Situation, compile_phases
from workers.runner.program import build_examples, build_models, build_program, check_fields
from workers.runner.reporting import Reporter

BASELINE, OPTIMIZED = "baseline", "optimized"
DEFAULT_SUCCESS = 0.5  # of the baseline, where there is no test split to measure it


class JobRun:
    """Runs one job; ``run`` sends the terminal frame."""

    def __init__(self, order: Order, channel: Channel, versions: dict[str, str]) -> None:
        self._order = order
        self._channel = channel
        self._reporter = Reporter(channel)
        self._planner = Planner()
        self._reporter.use_eta(self._planner.eta_seconds)
        self._pace = Pace(self._planner, threads=order.num_threads, check=self._check)
        self._trials = Trials(self._reporter)
        self._gepa = GepaWatcher(self._trials, self._planner)
        self._metric: Metric | None = None
        self._tallies: Mapping[str, RoleTally] = {}
        self._phase_seconds: dict[str, float] = {}
        spec = order.spec
        self._known = RunnerResult(module_name=spec.module_name, optimizer_name=spec.optimizer_name, versions=versions)

    def run(self) -> None:
        """Run the job and send ``result`` or ``failure``; nothing but a broken socket escapes."""
        try:
            with self._captured(), reading(BarReader(self._bar_moved)):
                files = self._stages()
        except BaseException as error:  # noqa: BLE001  # the outermost frame around submitted code
            self._fail(error)
            return
        send_files(self._channel, files)
        self._channel.say({"t": "result", "result": self._result().model_dump(mode="json")})

    def _captured(self) -> contextlib.AbstractContextManager[None]:
        order = self._order
        return capture(self._reporter.log, log_cap_bytes=order.log_bytes, print_cap_bytes=order.output_bytes)

    def _fail(self, error: BaseException) -> None:
        failure = failure_of(error, kind="optimizer_error")
        if failure.kind == "optimizer_error" and self._metric is not None and self._metric.tally.tracebacks:
            own = f"{self._metric.tally.tracebacks[0]}\n\nLater the optimizer ended:\n\n{failure.traceback}"
            failure = failure.model_copy(update={"traceback": own})
        partial = self._result().model_dump(mode="json")
        self._channel.say({"t": "failure", "failure": failure.model_dump(mode="json"), "partial": partial})

    def _stages(self) -> list[tuple[str, bytes]]:
        spec, entry = self._order.spec, self._order.optimizer
        submitted = sources.load(spec.signature_code, spec.metric_code, metric_arity=entry.metric_arity)
        check_fields(submitted.signature, spec.column_mapping)
        program = build_program(self._order, submitted.signature)
        models, self._tallies = build_models(self._order, self._channel)
        examples = build_examples(self._order.rows, spec.column_mapping)
        split = split_rows(examples, spec.split_fractions, shuffle=spec.shuffle, seed=spec.seed or 0)
        metric = Metric(submitted.metric, style=entry.metric_style, observer=self._pace.metric_called)
        self._learn(metric_name=metric.name, split_counts=split.counts)
        settings = {
            "lm": models["task"],
            "adapter": dspy.ChatAdapter(),  # explicit: the next DSPy has another default
            "disable_history": True,
            "num_threads": self._order.num_threads,
            "max_errors": UNLIMITED_ERRORS,
        }
        with dspy.context(**settings):
            dry = Metric(submitted.metric, style=entry.metric_style)  # its calls are no part of the job's figures
            dry_run(program, split.test or split.train, metric=dry, reporter=self._reporter)
            self._metric = metric
            self._channel.say({"t": "status", "status": "running"})
            self._reporter.progress("dataset_splits_ready", split.counts.model_dump())
            optimization = build_optimization(
                self._order,
                split,
                metric=metric,
                models=models,
                gepa_watcher=self._gepa,
                reporter=self._reporter,
            )
            compiled = self._run_optimization(optimization, program, split, metric)
        return artifact_files(self._order, compiled, signature=submitted.signature, known=self._known)

    def _run_optimization(
        self,
        optimization: Optimization,
        program: dspy.Module,
        split: Examples,
        metric: Metric,
    ) -> dspy.Module:
        """Measure, compile, measure again on the same rows."""
        budget = gepa_budget(optimization.optimizer, program, split)
        self._plan(program, split, success=DEFAULT_SUCCESS, budget=budget)
        baseline = self._measure(BASELINE, program, split, metric)
        if baseline.mean is not None:
            self._plan(program, split, success=baseline.mean, budget=budget)
        compiled = self._compile(optimization, program, split, budget=budget)
        optimized = self._measure(OPTIMIZED, compiled, split, metric)
        self._learn(comparison=compare(baseline.rows, optimized.rows))
        return compiled

    def _plan(self, program: dspy.Module, split: Examples, *, success: float, budget: int) -> None:
        """Plan what has not begun: a second time once the baseline tells how often a row succeeds."""
        situation = Situation(
            counts=split.counts,
            threads=self._order.num_threads,
            predictors=max(1, len(program.predictors())),
            success=success,
            kwargs=self._order.spec.optimizer_kwargs,
            compile_kwargs=self._order.spec.compile_kwargs,
            gepa_budget=budget,
        )
        units = rounds(len(split.test), self._order.num_threads)
        phases = compile_phases(self._order.optimizer.progress, situation)
        self._planner.plan([Phase(BASELINE, units), *phases, Phase(OPTIMIZED, units)])

    def _measure(self, name: str, program: dspy.Module, split: Examples, metric: Metric) -> Scores:
        with self._phase(name):
            self._pace.evaluating(len(split.test))
            scores = measure(program, split.test, metric=metric, num_threads=self._order.num_threads)
            self._pace.alone()
        key = f"{name}_test_metric"
        self._learn(**{key: scores.mean})
        rows = len(scores.rows)
        if rows and scores.unanswered == rows:
            self._reporter.warning("no_answers", f"The {name} program answered none of the {rows} test rows.")
        self._reporter.progress(
            f"{name}_evaluated", {key: scores.mean, "rows": rows, "percent": self._planner.percent()}
        )
        return scores

    def _compile(
        self,
        optimization: Optimization,
        program: dspy.Module,
        split: Examples,
        *,
        budget: int,
    ) -> dspy.Module:
        self._reporter.progress("optimizer_started", {"optimizer": self._order.optimizer.name})
        is_mipro, is_gepa = (self._order.optimizer.progress == name for name in ("mipro", "gepa"))
        watcher = EvaluationWatcher(
            self._trials,
            self._reporter,
            self._planner,
            self._pace,
            full_rows=len(split.val) or len(split.train),
            count_trials=not is_gepa,
            search_phase=SEARCH if is_mipro else None,
            propose_phase=PROPOSE if is_mipro else None,
        )
        self._pace.counts = not is_gepa
        with self._phase(BOOTSTRAP if is_mipro else COMPILE, label="compile"), dspy.context(callbacks=[watcher]):
            compiled = optimization.compile(program)
        self._pace.counts = True
        strip(compiled, like=program)
        facts = optimization_metadata(
            self._order,
            compiled,
            trials=self._trials,
            gepa=self._gepa,
            budget=budget,
            metric_calls=self._metric_calls,
        )
        self._learn(optimization_metadata=facts)
        self._reporter.progress("optimizer_finished", {"best_valset_score": self._trials.best})
        return compiled

    def _learn(self, **facts: Any) -> None:  # noqa: ANN401  # fields of RunnerResult
        """Add to what is known; a job that fails later reports it too."""
        self._known = self._known.model_copy(update=facts)

    def _result(self) -> RunnerResult:
        figures = {} if self._metric is None else self._metric.tally.as_details()
        details = {
            **figures,
            "model_calls": {role: {"calls": t.calls, "failed": t.failures} for role, t in self._tallies.items()},
            "phase_seconds": self._phase_seconds,
            "warnings": self._reporter.warnings,
        }
        return self._known.model_copy(update={"details": details})

    @contextlib.contextmanager
    def _phase(self, name: str, *, label: str | None = None) -> Iterator[None]:
        started = time.monotonic()
        self._planner.enter(name)
        try:
            yield
        finally:
            self._planner.leave()
            self._phase_seconds[label or name] = round(time.monotonic() - started, 3)

    def _bar_moved(self, metrics: dict[str, Any]) -> None:
        phase = self._planner.current
        event = f"{phase}_progress" if phase in (BASELINE, OPTIMIZED) else "optimizer_progress"
        extra = {
            "percent": self._planner.percent(),
            "metric_calls": self._metric_calls,
            "best_score": self._trials.best,
        }
        self._reporter.progress(event, {**metrics, **extra})

    @property
    def _metric_calls(self) -> int:
        return 0 if self._metric is None else self._metric.tally.calls

    def _check(self) -> None:
        if self._channel.cancelled.is_set():
            raise Cancelled
