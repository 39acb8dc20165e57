"""What a job knows so far, as the result that it would give if it ended now."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dspy_service.domain.result import RunnerResult
from workers.runner.failures import Stopped
from workers.runner.metric import MetricTally
from workers.runner.models import RoleTally
from workers.runner.order import Order
from workers.runner.reporting import Reporter


class Account:
    """Facts as they become known; a job that ends early reports them too. Read by the checkpoints' thread."""

    def __init__(self, order: Order, reporter: Reporter, versions: Mapping[str, str]) -> None:
        spec = order.spec
        self._reporter = reporter
        self._known = RunnerResult(
            module_name=spec.module_name, optimizer_name=spec.optimizer_name, versions=dict(versions)
        )
        self._phase_seconds: dict[str, float] = {}
        self._stopped: dict[str, str] | None = None
        self.tallies: Mapping[str, RoleTally] = {role: RoleTally(role) for role in order.roles}
        """Model calls of the whole attempt, by role."""
        self.metric: MetricTally | None = None
        """Metric calls of the whole attempt, without the dry run's; None before anything is measured."""

    @property
    def metric_calls(self) -> int:
        """Metric calls so far."""
        return 0 if self.metric is None else self.metric.calls

    def learn(self, **facts: Any) -> None:  # noqa: ANN401  # fields of RunnerResult
        """Add facts."""
        self._known = self._known.model_copy(update=facts)

    def stopped(self, stop: Stopped) -> None:
        """Note why a stage ended early; the first reason is the one that the result explains."""
        if self._stopped is None:
            self._stopped = {"reason": stop.reason, "message": stop.message}

    @contextlib.contextmanager
    def timed(self, label: str) -> Iterator[None]:
        """Note how many seconds the block took."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._phase_seconds = {**self._phase_seconds, label: round(time.monotonic() - started, 3)}

    def result(self, **facts: Any) -> RunnerResult:  # noqa: ANN401  # fields of RunnerResult
        """Return what is known, with ``facts`` on top."""
        details = {
            **({} if self.metric is None else self.metric.as_details()),
            "model_calls": {role: tally.as_details() for role, tally in self.tallies.items()},
            "phase_seconds": self._phase_seconds,
            "warnings": list(self._reporter.warnings),
            **({} if self._stopped is None else {"stopped": self._stopped}),
        }
        return self._known.model_copy(update={**facts, "details": details})
