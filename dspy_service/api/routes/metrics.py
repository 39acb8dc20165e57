"""``GET /metrics``: what operators watch, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from dspy_service.api.callers import CallerWith
from dspy_service.api.envelope import guarded
from dspy_service.api.services import TheQueueRules, TheServices
from dspy_service.domain.call_counts import NANOS_PER_USD, CallCount, CallCounts, CallFigure
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.usage import RUN_FIGURES, UsageFigures, call_counts
from dspy_service.usecases.check_health import Health, check_health

router = APIRouter(tags=["health"])

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Figures of the whole service.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

_OUTCOMES = {
    CallFigure.ANSWERED: "answered",
    CallFigure.REPLAYED: "replayed",
    CallFigure.REPEATED: "repeated",
    CallFigure.SHARED: "shared",
    CallFigure.FAILED: "failed",
    CallFigure.OVER_BUDGET: "over_budget",
}
_DIRECTIONS = {CallFigure.INPUT_TOKENS: "input", CallFigure.OUTPUT_TOKENS: "output"}


class _Figures(Collector):
    """What was found out for one answer."""

    def __init__(self, state: Health, counted: tuple[CallCounts, UsageFigures] | None, open_streams: int) -> None:
        self._state = state
        self._counted = counted
        self._open_streams = open_streams

    def collect(self) -> Iterable[Metric]:
        """Yield all figures; while the store is away, only those that need none."""
        yield _gauge("store_up", "1 when the store answers.", self._state.store_answers)
        yield _gauge("event_streams", "Open event streams of this API process.", self._open_streams)
        if self._state.store_answers:
            yield from self._of_jobs()
        if self._counted is not None:
            calls, served = self._counted
            yield from _of_calls({**calls, **call_counts(served)})
            ends = [((figure.value,), served.get(figure, 0)) for figure in RUN_FIGURES]
            yield _counter("runs", "Ended runs of served programs by status.", ends, labels=("status",))

    def _of_jobs(self) -> Iterator[Metric]:
        state, queue = self._state, self._state.queue
        yield _gauge("jobs_waiting", "Jobs that wait for a worker.", queue.waiting)
        yield _gauge("jobs_running", "Jobs that workers hold.", queue.running)
        yield _gauge("oldest_waiting_seconds", "How long the oldest of them has waited.", queue.oldest_waiting_seconds)
        yield _gauge("workers_live", "Workers that announced themselves in the last seconds.", len(state.live))
        yield _gauge("workers_eligible", "Those that may run submitted code.", len(state.eligible))
        yield _gauge("worker_slots", "Jobs that these run at the same time.", state.capacity)
        nobody = state.nobody_takes is not None
        yield _gauge("no_worker_for_waiting_jobs", "1 when jobs wait and no worker will take them.", nobody)


def _of_calls(calls: CallCounts) -> Iterator[Metric]:
    """Yield counters of language model calls. Workers tell them; one that is killed may not have told its last ones.

    Those of a served program's run count when it ends, under the role ``serving``.
    """
    yield _counter(
        "lm_calls",
        "Language model calls by role and outcome: answered by a provider and paid; replayed from an earlier attempt; "
        "repeated within its job; shared by an earlier job; failed; over_budget, so not made. Told every few seconds. "
        "The role `serving`: of served programs, told when a run ends.",
        _by_role(calls, _OUTCOMES),
        labels=("role", "outcome"),
    )
    yield _counter(
        "lm_tokens",
        "Tokens of paid calls by role and direction.",
        _by_role(calls, _DIRECTIONS),
        labels=("role", "direction"),
    )
    yield _counter(
        "lm_cost_usd",
        "US dollars that paid calls cost by role, where the price is known.",
        [(role, nanos / NANOS_PER_USD) for role, nanos in _by_role(calls, {CallFigure.COST_NANO_USD: None})],
        labels=("role",),
    )
    yield _counter(
        "lm_unpriced_calls",
        "Paid calls by role whose price is not known.",
        _by_role(calls, {CallFigure.UNPRICED: None}),
        labels=("role",),
    )
    yield _counter(
        "lm_estimated_calls",
        "Paid calls by role whose provider told no tokens: these, and what they cost, are estimated on the high side.",
        _by_role(calls, {CallFigure.ESTIMATED: None}),
        labels=("role",),
    )
    yield _counter(
        "lm_rate_limits",
        "Answers of providers that said: too many requests.",
        [((), calls.get(CallCount(CallFigure.RATE_LIMITS), 0))],
    )
    yield _counter(
        "lm_rate_limit_wait_seconds",
        "Seconds that calls waited after such an answer or for their turn; the sum of all that waited.",
        [((), calls.get(CallCount(CallFigure.WAITED_MILLISECONDS), 0) / 1000)],
    )


def _by_role(calls: CallCounts, labels: Mapping[CallFigure, str | None]) -> list[tuple[tuple[str, ...], int]]:
    """Return these figures of every role that was ever asked, also those to which nothing came."""
    roles = sorted({each.role for each in calls} - {""})
    return [
        ((role, label) if label else (role,), calls.get(CallCount(figure, role), 0))
        for role in roles
        for figure, label in labels.items()
    ]


def _counter(
    name: str, meaning: str, values: Iterable[tuple[tuple[str, ...], float]], *, labels: tuple[str, ...] = ()
) -> Metric:
    metric = CounterMetricFamily(f"dspy_service_{name}", meaning, labels=labels)
    for place, value in values:
        metric.add_metric(place, float(value))
    return metric


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dspy_service_{name}", meaning, value=float(value))


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**guarded(), **_CONTENT},
    dependencies=[Depends(CallerWith(Scope.METRICS_READ))],
)
async def metrics(request: Request, services: TheServices, rules: TheQueueRules) -> Response:
    """Return the figures of the whole service, all tenants together; none has a label for a job, tenant or model."""
    state = await check_health(jobs=services.jobs, rules=rules)
    counted: tuple[CallCounts, UsageFigures] | None = None
    if state.store_answers:
        with contextlib.suppress(StoreUnavailableError):  # it went away just now
            counted = (await services.ledger.totals(), await services.runs.usage_totals())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(state, counted, request.app.state.open_streams.count))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
