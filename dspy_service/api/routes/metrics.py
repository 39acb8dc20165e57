"""``GET /metrics``: what operators watch, for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats)."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from dspy_service.api.callers import CallerWith
from dspy_service.api.envelope import guarded
from dspy_service.api.services import TheServices
from dspy_service.domain.keys import Scope
from dspy_service.usecases.check_health import Health, check_health

router = APIRouter(tags=["health"])

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Gauges of the whole service.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


class _Figures(Collector):
    """What was found out for one answer."""

    def __init__(self, state: Health, open_streams: int) -> None:
        self._state = state
        self._open_streams = open_streams

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges; while the store is away, only those that need none."""
        yield _gauge("store_up", "1 when the store answers.", self._state.store_answers)
        yield _gauge("event_streams", "Open event streams of this API process.", self._open_streams)
        if self._state.store_answers:
            yield from self._of_jobs()

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


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dspy_service_{name}", meaning, value=float(value))


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**guarded(), **_CONTENT},
    dependencies=[Depends(CallerWith(Scope.JOBS_READ))],
)
async def metrics(request: Request, services: TheServices) -> Response:
    """Return the gauges of the whole service, all tenants together; none has a label for a job or a tenant."""
    settings = services.settings
    state = await check_health(
        jobs=services.jobs, minimum=settings.sandbox_min_level, tenant_running_jobs=settings.tenant_running_jobs
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(state, request.app.state.open_streams.count))
    return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
