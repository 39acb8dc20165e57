"""``GET /health``: whether a job that is submitted now will be taken."""

from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from dspy_service.api.callers import KnownCaller
from dspy_service.api.envelope import ErrorEnvelope, documented
from dspy_service.api.headers import request_id_of
from dspy_service.api.services import TheQueueRules, TheServices
from dspy_service.domain.workers import SandboxLevel
from dspy_service.usecases.check_health import Health, check_health

router = APIRouter(prefix="/health", tags=["health"])


class RegisteredAssets(BaseModel):
    """What can be asked for by name."""

    modules: list[str]
    optimizers: list[str]


class SandboxState(BaseModel):
    """How submitted code is confined."""

    level: Annotated[SandboxLevel | None, Field(description="Of the workers that are live; null without one.")]
    minimum: Annotated[SandboxLevel, Field(description="Below it, a worker takes no job.")]


class WorkersState(BaseModel):
    """The workers that announced themselves."""

    live: int
    eligible: Annotated[int, Field(description="Live, and at least at the minimum sandbox level.")]
    concurrency: Annotated[int, Field(description="Jobs that the eligible ones run at the same time.")]


class ServingState(BaseModel):
    """The workers that carry out runs of deployed programs; without one, runs wait."""

    live: int
    concurrency: Annotated[int, Field(description="Runs that they carry out at the same time.")]


class QueueState(BaseModel):
    """The jobs of all tenants together."""

    waiting: int
    running: Annotated[int, Field(description="Jobs that workers hold.")]
    oldest_waiting_seconds: Annotated[float, Field(description="0 when none waits.")]
    no_worker: Annotated[str | None, Field(description="Why no worker takes the jobs that wait; null when one does.")]


class HealthAnswer(BaseModel):
    """The state of the service. What is null is told to callers with an API key, and to all in open mode."""

    status: Literal["ok", "unavailable"]
    version: Annotated[str | None, Field(description="Of the service.")] = None
    registered_assets: RegisteredAssets | None = None
    sandbox: SandboxState
    store: Literal["ok", "unavailable"] | None = None
    workers: WorkersState | None = None
    serving: ServingState | None = None
    queue: QueueState | None = None


_VERSION = version("dspy-service")
_NO_KEY_NEEDED: dict[str, Any] = {"security": [{}]}
"""FastAPI adds it to the security that it finds: a key, or nothing."""

_UNSAID = "No job would be taken now; ask again with an API key to hear why."


class UnavailableAnswer(HealthAnswer, ErrorEnvelope):
    """The same, with the reason as an error."""


_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    **documented(401, 429),
    503: {"model": UnavailableAnswer, "description": "No job would be taken now; `detail` says why."},
}


@router.head("", include_in_schema=False)
@router.get(
    "",
    summary="State of the service",
    response_model=HealthAnswer,
    responses=_UNAVAILABLE,
    openapi_extra=_NO_KEY_NEEDED,
)
async def health(caller: KnownCaller, request: Request, services: TheServices, rules: TheQueueRules) -> JSONResponse:
    """Answer 200 once the store and one eligible worker are live. Needs no key; with one, it tells more."""
    state = await check_health(jobs=services.jobs, rules=rules)
    body = _public(state) if caller is None else _whole(state, services)
    if state.problem is None:
        return JSONResponse(body)
    code = state.too_weak.code if state.too_weak else "unavailable"
    detail = _UNSAID if caller is None else state.problem
    reason = {"error": code, "detail": detail, "request_id": request_id_of(request.scope)}
    return JSONResponse({**body, **reason}, status_code=503)


@router.head("/ready", include_in_schema=False)
@router.get(
    "/ready",
    summary="The same, for load balancers",
    response_model=HealthAnswer,
    responses=_UNAVAILABLE,
    openapi_extra=_NO_KEY_NEEDED,
)
async def ready(caller: KnownCaller, request: Request, services: TheServices, rules: TheQueueRules) -> JSONResponse:
    """Answer 200 once the store and one eligible worker are live. Needs no key; with one, it tells more."""
    return await health(caller, request, services, rules)


@router.head("/live", include_in_schema=False)
@router.get("/live", summary="Whether this process answers")
async def live() -> dict[str, str]:
    """Answer 200 as long as the process runs, whatever it stands on."""
    return {"status": "ok"}


def _public(state: Health) -> dict[str, Any]:
    """Return what strangers may know: no names, no numbers, no versions."""
    return HealthAnswer(status=_status(state), sandbox=_sandbox(state)).model_dump(exclude_unset=True)


def _whole(state: Health, services: TheServices) -> dict[str, Any]:
    return HealthAnswer(
        status=_status(state),
        version=_VERSION,
        registered_assets=RegisteredAssets(
            modules=services.registry.module_names, optimizers=services.registry.optimizer_names
        ),
        sandbox=_sandbox(state),
        store="ok" if state.store_answers else "unavailable",
        workers=WorkersState(
            live=len(state.live),
            eligible=len(state.eligible),
            concurrency=state.capacity,
        ),
        serving=ServingState(
            live=len(state.serving),
            concurrency=services.settings.serving_concurrency * sum(worker.concurrency for worker in state.serving),
        ),
        queue=QueueState(**state.queue.model_dump(), no_worker=state.nobody_takes),
    ).model_dump()


def _status(state: Health) -> Literal["ok", "unavailable"]:
    return "unavailable" if state.problem else "ok"


def _sandbox(state: Health) -> SandboxState:
    return SandboxState(level=state.level, minimum=state.minimum)
