"""What every stage of a job works with, and the DSPy settings of a stage."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from workers.runner.account import Account
from workers.runner.channel import Channel
from workers.runner.evaluation import UNLIMITED_ERRORS
from workers.runner.models import BrokerLM
from workers.runner.observing import Pace, Trials
from workers.runner.order import Order
from workers.runner.planner import Planner
from workers.runner.program import build_models
from workers.runner.reporting import Reporter
from workers.runner.stage import Stage


@dataclass(frozen=True)
class Workshop:
    """One per job."""

    order: Order
    channel: Channel
    reporter: Reporter
    planner: Planner
    pace: Pace
    trials: Trials
    account: Account

    @contextlib.contextmanager
    def settings(self, models: Mapping[str, BrokerLM], **more: Any) -> Iterator[None]:  # noqa: ANN401  # of DSPy
        """Set DSPy up for a stage, with ``more`` settings on top."""
        with dspy.context(
            lm=models["task"],
            adapter=dspy.ChatAdapter(),  # explicit: the next DSPy has another default
            disable_history=True,
            num_threads=self.order.num_threads,
            max_errors=UNLIMITED_ERRORS,
            **more,
        ):
            yield

    def models(self, stage: Stage) -> Mapping[str, BrokerLM]:
        """Return the models of every role, for the questions of one stage. Raises JobFailed for wrong options."""
        return build_models(self.order, stage, self.account.tallies)

    @contextlib.contextmanager
    def phase(self, name: str, *, label: str | None = None) -> Iterator[None]:
        """Run a phase of the plan; its seconds go under ``label`` into the result."""
        self.planner.enter(name)
        try:
            with self.account.timed(label or name):
                yield
        finally:
            self.planner.leave()
