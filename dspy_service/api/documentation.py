"""The OpenAPI document and the page that shows it, without the internet."""

import importlib.util
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic.json_schema import models_json_schema

from dspy_service.domain.spec import RunRequest

DESCRIPTION = """\
Optimizes DSPy programs as background jobs: submit a signature, a metric and a dataset, watch the score, and download
the compiled program.

**Try it:** open `POST /v1/run`, press *Try it out*, choose an example and *Execute*; then paste the `job_id` into
`GET /v1/jobs/{job_id}/summary`. The examples use `demo/in-context`, which needs no key and no network.

Every route also answers without `/v1`. Errors have one shape: `{"error", "detail", "request_id"}`.
"""

_ASSETS = "/docs-assets"
_SCHEMA_REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Serve ``/docs``, and let the OpenAPI document know the body of ``POST /run``, which FastAPI does not parse."""
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    assets = _asset_folder()
    urls: dict[str, Any] = {}
    if assets is not None:
        app.mount(_ASSETS, StaticFiles(directory=assets), name="docs-assets")
        urls = {
            "swagger_js_url": f"{_ASSETS}/swagger-ui-bundle.js",
            "swagger_css_url": f"{_ASSETS}/swagger-ui.css",
            "swagger_favicon_url": f"{_ASSETS}/favicon.png",
        }

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title=app.title, **urls)

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
        _, schemas = models_json_schema([(RunRequest, "validation")], ref_template=_SCHEMA_REFERENCE)
        components = document.setdefault("components", {}).setdefault("schemas", {})
        components.update(schemas["$defs"])
        app.openapi_schema = document
    return app.openapi_schema
