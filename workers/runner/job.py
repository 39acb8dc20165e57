"""One job from its order to its terminal frame, in the stages that a user reads in the events."""

import contextlib
import random
from typing import Any

import dspy
import numpy as np

from dspy_service.domain.comparison import compare
from dspy_service.domain.job import TerminationReason
from dspy_service.domain.splits import split_rows
from dspy_service.domain.supervision import Phase as PhaseName
from workers.runner import sources
from workers.runner.account import Account
from workers.runner.artifact import send_files
from workers.runner.bars import BarReader, reading
from workers.runner.capture import capture
from workers.runner.channel import Channel
from workers.runner.compiling import Compile
from workers.runner.evaluation import Scores, dry_run, measure
from workers.runner.failures import Cancelled, Stopped, failure_of
from workers.runner.metric import Metric
from workers.runner.observing import Pace, Trials
from workers.runner.optimizer import Examples
from workers.runner.order import Order
from workers.runner.outcome import artifact_files
from workers.runner.planner import Phase, Planner, rounds
from workers.runner.plans import Situation, compile_phases
from workers.runner.program import build_examples, build_program, check_fields
from workers.runner.reporting import Reporter
from workers.runner.stage import Stage, Stages
from workers.runner.workshop import Workshop

BASELINE, OPTIMIZED = "baseline", "optimized"
DEFAULT_SUCCESS = 0.5  # of the baseline, where there is no test split to measure it


class JobRun:
    """Runs one job; ``run`` sends the terminal frame."""

    def __init__(self, order: Order, channel: Channel, versions: dict[str, str]) -> None:
        reporter, planner = Reporter(channel), Planner()
        reporter.use_eta(planner.eta_seconds)
        self._shop = Workshop(
            order=order,
            channel=channel,
            reporter=reporter,
            planner=planner,
            pace=Pace(planner, threads=order.num_threads),
            trials=Trials(reporter),
            account=Account(order, reporter, versions),
        )
        self._stages = Stages(channel)
        self._bars = BarReader(self._bar_moved)
        self._compile: Compile | None = None
        self._metric: Metric | None = None
        self._reason: TerminationReason = "completed"

    def run(self) -> None:
        """Run the job and send ``result`` or ``failure``; nothing but a broken socket escapes."""
        try:
            with self._captured(), reading(self._bars):
                files = self._run()
        except BaseException as error:  # noqa: BLE001  # the outermost frame around submitted code
            self._fail(error)
            return
        self._end_checkpoints()
        send_files(self._shop.channel, files)
        result = self._shop.account.result().model_dump(mode="json")
        self._shop.channel.say({"t": "result", "result": result, "reason": self._reason})

    def _captured(self) -> contextlib.AbstractContextManager[None]:
        order, emit = self._shop.order, self._shop.reporter.log
        return capture(emit, log_cap_bytes=order.log_bytes, print_cap_bytes=order.output_bytes)

    def _fail(self, error: BaseException) -> None:
        failure = failure_of(error, kind="optimizer_error")
        if failure.kind == "optimizer_error" and self._metric is not None and self._metric.tally.tracebacks:
            own = f"{self._metric.tally.tracebacks[0]}\n\nLater the optimizer ended:\n\n{failure.traceback}"
            failure = failure.model_copy(update={"traceback": own})
        if isinstance(error, Stopped):
            self._shop.account.stopped(error)
        if self._compile is not None and isinstance(error, Cancelled):
            self._compile.flush()  # a cancelled job keeps its best program
        self._end_checkpoints()
        partial = self._shop.account.result().model_dump(mode="json")
        self._shop.channel.say({"t": "failure", "failure": failure.model_dump(mode="json"), "partial": partial})

    def _end_checkpoints(self) -> None:
        if self._compile is not None:
            self._compile.close()

    def _run(self) -> list[tuple[str, bytes]]:
        """Load, try, measure, compile, measure again; return the files of the artifact."""
        shop, spec, entry = self._shop, self._shop.order.spec, self._shop.order.optimizer
        _seed(spec.seed or 0)
        submitted = sources.load(spec.signature_code, spec.metric_code, metric_arity=entry.metric_arity)
        check_fields(submitted.signature, spec.column_mapping)
        program = build_program(shop.order, submitted.signature)
        examples = build_examples(shop.order.rows, spec.column_mapping)
        split = split_rows(examples, spec.split_fractions, shuffle=spec.shuffle, seed=spec.seed or 0)
        metric = Metric(submitted.metric, style=entry.metric_style, observer=shop.pace.metric_called)
        shop.account.learn(metric_name=metric.name, split_counts=split.counts)
        dry = Metric(submitted.metric, style=entry.metric_style)  # its calls are no part of the job's figures
        self._try(program, split, dry)
        self._metric, shop.account.metric = metric, metric.tally
        shop.channel.say({"t": "status", "status": "running"})
        shop.reporter.progress("dataset_splits_ready", split.counts.model_dump())
        stage = self._stage("compile")
        self._compile = Compile(shop, stage, student=program, split=split, metric=metric, signature=submitted.signature)
        compiled = self._run_optimization(self._compile, stage, program, split, metric)
        return artifact_files(shop.order, compiled, signature=submitted.signature, known=shop.account.result())

    def _stage(self, phase: PhaseName | None) -> Stage:
        return Stage(self._shop.channel, phase=phase, heard=self._shop.planner.heard)

    def _try(self, program: dspy.Module, split: Examples, metric: Metric) -> None:
        """Ask program and metric once, before anything is spent on optimizing."""
        stage = self._stage(None)
        self._stages.enter(stage)
        with self._shop.settings(self._shop.models(stage)):
            dry_run(program, split.test or split.train, metric=metric.gated(stage.check), reporter=self._shop.reporter)
            stage.settle()

    def _run_optimization(
        self, compiling: Compile, stage: Stage, program: dspy.Module, split: Examples, metric: Metric
    ) -> dspy.Module:
        """Measure, compile, measure again on the same rows."""
        self._plan(program, split, success=DEFAULT_SUCCESS, budget=compiling.gepa_budget)
        baseline = self._measure(BASELINE, self._stage("baseline"), program, split, metric)
        if baseline.mean is not None:
            self._plan(program, split, success=baseline.mean, budget=compiling.gepa_budget)
        self._stages.enter(stage)
        compiled = compiling.run()
        self._reason = compiled.reason
        self._bars.forget()
        self._shop.planner.plan([self._last_phase(split)])  # of a compile that was stopped, nothing else remains
        try:
            optimized = self._measure(OPTIMIZED, self._stage("final"), compiled.program, split, metric)
        except Stopped as stop:
            self._without_final(stop)
        else:
            self._shop.account.learn(comparison=compare(baseline.rows, optimized.rows))
        return compiled.program

    def _without_final(self, stop: Stopped) -> None:
        """End well, with a program that is not measured on the test rows."""
        self._shop.account.stopped(stop)
        if self._reason == "completed":
            self._reason = stop.reason
        message = f"The optimized program is not measured on the test rows: {stop.message}"
        self._shop.reporter.warning("final_evaluation_skipped", message)

    def _plan(self, program: dspy.Module, split: Examples, *, success: float, budget: int) -> None:
        """Plan what has not begun: a second time once the baseline tells how often a row succeeds."""
        order = self._shop.order
        situation = Situation(
            counts=split.counts,
            threads=order.num_threads,
            predictors=max(1, len(program.predictors())),
            success=success,
            kwargs=order.spec.optimizer_kwargs,
            compile_kwargs=order.spec.compile_kwargs,
            gepa_budget=budget,
        )
        first = Phase(BASELINE, rounds(len(split.test), order.num_threads))
        phases = compile_phases(order.optimizer.progress, situation)
        self._shop.planner.plan([first, *phases, self._last_phase(split)])

    def _last_phase(self, split: Examples) -> Phase:
        return Phase(OPTIMIZED, rounds(len(split.test), self._shop.order.num_threads))

    def _measure(self, name: str, stage: Stage, program: dspy.Module, split: Examples, metric: Metric) -> Scores:
        """Score the program on the test rows. Raises Stopped when the budget does not reach."""
        shop, gated = self._shop, metric.gated(stage.check)
        self._stages.enter(stage)
        with shop.phase(name), shop.settings(shop.models(stage)):
            shop.pace.evaluating(len(split.test))
            scores = measure(program, split.test, metric=gated, num_threads=shop.order.num_threads)
            stage.settle()
        shop.pace.alone()
        key = f"{name}_test_metric"
        shop.account.learn(**{key: scores.mean})
        rows = len(scores.rows)
        if rows and scores.unanswered == rows:
            shop.reporter.warning("no_answers", f"The {name} program answered none of the {rows} test rows.")
        metrics = {key: scores.mean, "rows": rows, "percent": shop.planner.percent()}
        shop.reporter.progress(f"{name}_evaluated", metrics)
        return scores

    def _bar_moved(self, metrics: dict[str, Any]) -> None:
        shop, phase = self._shop, self._shop.planner.current
        event = f"{phase}_progress" if phase in (BASELINE, OPTIMIZED) else "optimizer_progress"
        extra = {
            "percent": shop.planner.percent(),
            "metric_calls": shop.account.metric_calls,
            "best_score": shop.trials.best,
        }
        shop.reporter.progress(event, {**metrics, **extra})


def _seed(seed: int) -> None:
    """Seed the shared generators, so that submitted code that draws from them does the same in every attempt."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the legacy generator is the one that is shared
