"""Puts the HTTP API together: routes, errors, limits and documentation."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from dspy_service.api import documentation, errors
from dspy_service.api.body_limit import BodyLimit
from dspy_service.api.headers import AnswerHeaders
from dspy_service.api.open_mode import LoopbackOnly, is_loopback
from dspy_service.api.routes import artifacts, events, health, jobs, run
from dspy_service.api.services import rules_of
from dspy_service.bootstrap import Services

_ROUTERS: tuple[APIRouter, ...] = (run.router, jobs.router, events.router, artifacts.router, health.router)

_TAGS = [
    {"name": "jobs", "description": "Submit, and follow what happens."},
    {"name": "artifacts", "description": "Take home what a job made."},
    {"name": "health", "description": "Whether jobs will be taken."},
]


def build_app(services: Services) -> FastAPI:
    """Make the application over opened services, which it closes when it stops."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        gc.freeze()  # routes and schemas live as long as the process: collections need not walk them
        async with services:
            yield

    settings = services.settings
    app = FastAPI(
        title="DSPy as a Service",
        version=version("dspy-service"),
        description=documentation.DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.rules = rules_of(settings, services.registry)
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    documentation.install(app)
    errors.install(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    if is_loopback(settings.host):
        app.add_middleware(LoopbackOnly)
    app.add_middleware(AnswerHeaders)  # the last one added is the outermost
    return app
