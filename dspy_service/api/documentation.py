"""The OpenAPI document and the page that shows it, without the internet."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic.json_schema import models_json_schema

from dspy_service.api.chat_body import ChatRequest, TurnOptions
from dspy_service.api.examples import ERROR_EXAMPLES
from dspy_service.api.openai.bodies import ChatCompletionRequest, ResponseRequest
from dspy_service.api.predict_body import PredictRequest
from dspy_service.api.routes.conversations import ConversationChange, ConversationRequest
from dspy_service.api.routes.keys import KeyRequest
from dspy_service.api.routes.program_aliases import AliasMove
from dspy_service.api.routes.program_deployments import DeployRequest
from dspy_service.domain.serving.conversation import Feedback
from dspy_service.domain.spec import RunRequest

DESCRIPTION = """\
Optimizes DSPy programs as background jobs: submit a signature, a metric and a dataset, watch the score, and download
the compiled program.

**Try it:** open `POST /v1/run`, press *Try it out*, choose an example and *Execute*; then paste the `job_id` into
`GET /v1/jobs/{job_id}/summary`. The examples use `demo/in-context`, which needs no key and no network.

Every route also answers without `/v1`. Errors have one shape: `{"error", "detail", "request_id"}`.
"""

_BODIES = (
    RunRequest,
    KeyRequest,
    DeployRequest,
    AliasMove,
    PredictRequest,
    ChatCompletionRequest,
    ResponseRequest,
    ChatRequest,
    TurnOptions,
    ConversationRequest,
    ConversationChange,
    Feedback,
)
_ASSETS = "/docs-assets"
_SCHEMA_REFERENCE = "#/components/schemas/{model}"
_ENVELOPE = {"$ref": _SCHEMA_REFERENCE.format(model="ErrorEnvelope")}
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")


def install(app: FastAPI, *, show: bool) -> None:
    """Make the OpenAPI document say what FastAPI can only guess; with ``show``, serve ``/docs`` over it."""
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    if not show:
        return
    assets = _asset_folder()
    urls: dict[str, Any] = {}
    if assets is not None:
        app.mount(_ASSETS, StaticFiles(directory=assets), name="docs-assets")
        urls = {
            "swagger_js_url": f"{_ASSETS}/swagger-ui-bundle.js",
            "swagger_css_url": f"{_ASSETS}/swagger-ui.css",
            "swagger_favicon_url": f"{_ASSETS}/favicon.png",
        }

    title = app.title  # FastAPI remembers each endpoint for ever; one that held the application would keep all of it

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json", title=title, swagger_ui_parameters={"defaultModelsExpandDepth": 0}, **urls
        )

    app.add_api_route("/docs", page, include_in_schema=False)


def _asset_folder() -> Path | None:
    """Find the files that fastapi-offline ships; without it, the page asks its usual host on the internet."""
    package = importlib.util.find_spec("fastapi_offline")
    return Path(package.origin).parent / "static" if package is not None and package.origin else None


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        _describe_bodies(components)
        for operation in _operations(document):
            _describe_errors(operation["responses"], ERROR_EXAMPLES)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
        for name in _FASTAPI_ERRORS:
            components.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def _describe_bodies(components: dict[str, Any]) -> None:
    """Add the bodies that FastAPI does not parse."""
    _, schemas = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_SCHEMA_REFERENCE)
    components.update(schemas["$defs"])


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _describe_errors(responses: dict[str, Any], examples: Mapping[str, Any]) -> None:
    """Show what each status looks like, and drop the 422 that FastAPI adds to every route with a path parameter.

    A malformed job id answers 404 here, in this service's own envelope.
    """
    if responses.get("422", {}).get("description") == "Validation Error":
        del responses["422"]
    for status, response in responses.items():
        content = response.get("content", {}).get("application/json")
        if content is not None and status in examples and content["schema"] == _ENVELOPE:
            content["example"] = examples[status]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter that may be left out; nobody can send null in a header or a query."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**rest, **kinds[0]} if len(kinds) == 1 else schema
