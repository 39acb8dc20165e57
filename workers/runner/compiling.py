"""The compile: watched, bounded, and with its best program at hand when it ends early."""

from dataclasses import dataclass
from typing import Any

import dspy

from dspy_service.domain.budget import Budget
from dspy_service.domain.job import Failure, TerminationReason
from workers.runner.artifact import send_files, strip
from workers.runner.bounds import MetricBound, ScoreBound
from workers.runner.checkpoints import CheckpointSender
from workers.runner.contest import BestProgram, Contest
from workers.runner.failures import JobFailed, Stopped, describe
from workers.runner.metric import Metric
from workers.runner.observing import EvaluationWatcher, GepaWatcher
from workers.runner.optimizer import Examples, Optimization, build_optimization, gepa_budget
from workers.runner.outcome import artifact_files, optimization_metadata
from workers.runner.plans import BOOTSTRAP, COMPILE, PROPOSE, SEARCH
from workers.runner.stage import Stage
from workers.runner.workshop import Workshop


@dataclass(frozen=True)
class Compiled:
    """What a compile came to."""

    program: dspy.Module
    reason: TerminationReason


class Compile:
    """One compile of one program. Building it checks the optimizer's arguments; ``run`` spends.

    Args:
        workshop: Of the job.
        stage: Whose questions the compile asks; entered by whoever runs it.
        student: The program to compile.
        split: Its rows.
        metric: The job's metric.
        signature: What the user submitted, for the artifact's metadata.

    Raises:
        JobFailed: the optimizer refuses its arguments.
    """

    def __init__(
        self,
        workshop: Workshop,
        stage: Stage,
        *,
        student: dspy.Module,
        split: Examples,
        metric: Metric,
        signature: type[Any],
    ) -> None:
        order = workshop.order
        budget = order.spec.budget or Budget()
        self._workshop = workshop
        self._stage = stage
        self._student = student
        self._split = split
        self._signature = signature
        self._sender = CheckpointSender(self._send_checkpoint)
        self._sent = 0
        self._contest: Contest | None = None
        if order.optimizer.keeps_best:
            bound = ScoreBound(stage, target=budget.stop_at_score, patience=budget.patience)
            self._contest = Contest(student, bound=bound, won=self._sender.offer, reporter=workshop.reporter)
        self._gepa = GepaWatcher(workshop.trials, workshop.planner, self._contest, student=student)
        self._models = workshop.models(stage)
        with workshop.settings(self._models):
            self._optimization: Optimization = build_optimization(
                order,
                split,
                metric=metric.gated(MetricBound(stage, budget.max_metric_calls)),
                models=self._models,
                gepa_watcher=self._gepa,
                reporter=workshop.reporter,
            )
        self.gepa_budget = gepa_budget(self._optimization.optimizer, student, split)

    def run(self) -> Compiled:
        """Compile.

        Raises:
            JobFailed: the compile was stopped before there was a program; kind ``budget_exhausted``.
            BaseException: what the optimizer raised.
        """
        shop = self._workshop
        shop.reporter.progress("optimizer_started", {"optimizer": shop.order.optimizer.name})
        try:
            compiled, score = Compiled(self._watched(), "completed"), shop.trials.best
        except Stopped as stop:
            best = self._best_at(stop)
            compiled, score = Compiled(best.program, stop.reason), best.score
        shop.account.learn(optimization_metadata=self._metadata(compiled.program, score))
        self._sender.flush()  # the final evaluation may be interrupted too
        event = "optimizer_finished" if compiled.reason == "completed" else "optimizer_stopped"
        shop.reporter.progress(event, {"reason": compiled.reason, "best_valset_score": score})
        return compiled

    def flush(self) -> None:
        """Send the best program so far if it waits to be sent."""
        self._sender.flush()

    def close(self) -> None:
        """Send no further checkpoint."""
        self._sender.close()

    def _watched(self) -> dspy.Module:
        shop, entry = self._workshop, self._workshop.order.optimizer
        is_mipro, is_gepa = (entry.progress == name for name in ("mipro", "gepa"))
        watcher = EvaluationWatcher(
            shop.trials,
            shop.reporter,
            shop.planner,
            shop.pace,
            contest=self._contest,
            full_rows=len(self._split.val) or len(self._split.train),
            count_trials=not is_gepa,
            search_phase=SEARCH if is_mipro else None,
            propose_phase=PROPOSE if is_mipro else None,
        )
        if self._contest is not None:
            self._sender.start()
        shop.pace.counts = not is_gepa
        try:
            with (
                shop.phase(BOOTSTRAP if is_mipro else COMPILE, label="compile"),
                shop.settings(self._models, callbacks=[watcher]),
            ):
                program = self._optimization.compile(self._student)
                self._stage.settle()
        finally:
            shop.pace.counts = True
        strip(program, like=self._student)
        return program

    def _best_at(self, stop: Stopped) -> BestProgram:
        """Return the best program so far. Raises JobFailed where there is none."""
        self._workshop.account.stopped(stop)
        if self._contest is not None and self._contest.best is not None:
            return self._contest.best
        why = "this optimizer has no program before it has finished"
        why = why if self._contest is None else "no program was scored on the whole valset yet"
        message = f"{stop.message.rstrip('. ')}; {why}."
        raise JobFailed(Failure(kind=stop.reason, message=message)) from stop

    def _metadata(self, program: dspy.Module, score: float | None) -> dict[str, Any]:
        shop = self._workshop
        return optimization_metadata(
            shop.order,
            program,
            best_score=score,
            trials=shop.trials,
            gepa=self._gepa,
            budget=self.gepa_budget,
            metric_calls=shop.account.metric_calls,
        )

    def _send_checkpoint(self, best: BestProgram) -> None:
        """Send a program as a complete artifact; on the checkpoints' thread, where nothing may be raised."""
        shop = self._workshop
        try:
            known = shop.account.result(optimization_metadata=self._metadata(best.program, best.score))
            files = artifact_files(shop.order, best.program, signature=self._signature, known=known)
            self._sent += 1
            send_files(shop.channel, files, checkpoint=self._sent)
            result = known.model_dump(mode="json")
            shop.channel.say({"t": "checkpoint", "number": self._sent, "score": best.score, "result": result})
        except BaseException as error:  # noqa: BLE001  # packing runs submitted code, which may even call exit()
            message = f"The best program so far cannot be stored: {describe(error)}"
            if message not in shop.reporter.warnings:
                shop.reporter.warning("checkpoint_failed", message)
