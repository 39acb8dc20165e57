"""``GET /health``: whether a job that is submitted now will be taken."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from dspy_service.api.envelope import ErrorEnvelope
from dspy_service.api.headers import request_id_of
from dspy_service.api.services import TheServices
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


class HealthAnswer(BaseModel):
    """The state of the service."""

    status: Literal["ok", "unavailable"]
    registered_assets: RegisteredAssets
    sandbox: SandboxState
    store: Literal["ok", "unavailable"]
    workers: WorkersState


class UnavailableAnswer(HealthAnswer, ErrorEnvelope):
    """The same, with the reason as an error."""


_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"model": UnavailableAnswer, "description": "No job would be taken now; `detail` says why."}
}


@router.get("", summary="State of the service", response_model=HealthAnswer, responses=_UNAVAILABLE)
async def health(request: Request, services: TheServices) -> JSONResponse:
    """Answer 200 once the store and one eligible worker are live."""
    state = await check_health(jobs=services.jobs, minimum=services.settings.sandbox_min_level)
    return _answer(state, services, request)


@router.get("/ready", summary="The same, for load balancers", response_model=HealthAnswer, responses=_UNAVAILABLE)
async def ready(request: Request, services: TheServices) -> JSONResponse:
    """Answer 200 once the store and one eligible worker are live."""
    return await health(request, services)


@router.get("/live", summary="Whether this process answers")
async def live() -> dict[str, str]:
    """Answer 200 as long as the process runs, whatever it stands on."""
    return {"status": "ok"}


def _answer(state: Health, services: TheServices, request: Request) -> JSONResponse:
    body = HealthAnswer(
        status="unavailable" if state.problem else "ok",
        registered_assets=RegisteredAssets(
            modules=services.registry.module_names, optimizers=services.registry.optimizer_names
        ),
        sandbox=SandboxState(level=state.level, minimum=state.minimum),
        store="ok" if state.store_answers else "unavailable",
        workers=WorkersState(
            live=len(state.live),
            eligible=len(state.eligible),
            concurrency=sum(worker.concurrency for worker in state.eligible),
        ),
    ).model_dump()
    if state.problem is None:
        return JSONResponse(body)
    reason = {"error": "unavailable", "detail": state.problem, "request_id": request_id_of(request.scope)}
    return JSONResponse({**body, **reason}, status_code=503)
