"""Puts the HTTP API together: routes, errors, limits and documentation."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from dspy_service.api import chat_page, documentation, errors
from dspy_service.api.body_limit import BodyLimit
from dspy_service.api.gate import Gate
from dspy_service.api.headers import AnswerHeaders
from dspy_service.api.routes import (
    artifacts,
    chat,
    control,
    conversations,
    default_predict,
    events,
    health,
    jobs,
    keys,
    messages,
    metrics,
    openai_chat,
    openai_models,
    openai_responses,
    predict,
    program_aliases,
    program_deployments,
    programs,
    run,
    runs,
    usage,
    webhooks,
)
from dspy_service.api.services import rules_of
from dspy_service.api.sse import OpenStreams
from dspy_service.api.stopping import before_the_end
from dspy_service.bootstrap import Services

_ROUTERS: tuple[APIRouter, ...] = (
    run.router,
    jobs.router,
    events.router,
    control.router,
    artifacts.router,
    program_deployments.router,
    programs.router,
    program_aliases.router,
    predict.router,
    default_predict.router,
    runs.router,
    usage.router,
    openai_models.router,
    openai_chat.router,
    openai_responses.router,
    chat.router,
    conversations.router,
    messages.router,
    keys.router,
    webhooks.router,
    health.router,
    metrics.router,
)

_TAGS = [
    {"name": "jobs", "description": "Submit, follow what happens, and steer."},
    {"name": "artifacts", "description": "Take home what a job made."},
    {"name": "programs", "description": "Serve what was optimized: versions, and the aliases that callers use."},
    {"name": "predict", "description": "Call a served program, at once or piece by piece."},
    {"name": "runs", "description": "Every call is a run: look at it, follow or resume its events, end it."},
    {"name": "chat", "description": "Say something to a served program, and read its answer."},
    {"name": "conversations", "description": "What was said; answers anew, ratings, and the rows that they make."},
    {"name": "openai", "description": "Programs as models: what clients of OpenAI's API ask for."},
    {"name": "keys", "description": "Let others in: an admin makes, lists and revokes API keys."},
    {"name": "health", "description": "Whether jobs will be taken."},
]


# Bearer keys need no credentials mode: no cookie is ever set or read.
_CORS_REQUEST_HEADERS = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "x-request-id",
)
_CORS_ANSWER_HEADERS = (
    "etag",
    "idempotency-replayed",
    "location",
    "retry-after",
    "www-authenticate",
    "x-request-id",
    "x-run-id",
)


def build_app(services: Services) -> FastAPI:
    """Make the application over opened services, which it closes when it stops."""
    gate = Gate(services)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        gc.freeze()  # routes and schemas live as long as the application: collections need not walk them
        try:
            async with services:
                await gate.require_a_key_or_loopback()
                with before_the_end(services.stop_watching):
                    yield
        finally:
            gc.unfreeze()

    settings = services.settings
    app = FastAPI(
        title="DSPy as a Service",
        version=version("dspy-service"),
        description=documentation.DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.gate = gate
    app.state.open_streams = OpenStreams()
    app.state.rules = rules_of(settings, services.registry, is_open=False)
    app.state.open_rules = rules_of(settings, services.registry, is_open=True)
    for router in _ROUTERS:
        app.include_router(router, prefix="/v1")
        app.include_router(router, include_in_schema=False)
    documentation.install(app, show=settings.docs)
    chat_page.install(app)
    errors.install(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=_CORS_ANSWER_HEADERS,
        )
    app.add_middleware(AnswerHeaders)  # the last one added is the outermost
    return app
