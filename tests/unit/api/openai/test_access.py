"""Every route of OpenAI's API is behind the gate, and says so in OpenAI's words."""

import re
from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from tests.unit.api.keyed import header

ROUTES: dict[tuple[str, str], tuple[Scope, ...]] = {
    ("GET", "/models"): (Scope.SERVE_INVOKE, Scope.JOBS_READ),
    ("GET", "/models/x"): (Scope.SERVE_INVOKE, Scope.JOBS_READ),
    ("POST", "/chat/completions"): (Scope.SERVE_INVOKE,),
    ("POST", "/responses"): (Scope.SERVE_INVOKE,),
    ("GET", "/responses/x"): (Scope.SERVE_INVOKE,),
    ("DELETE", "/responses/x"): (Scope.SERVE_INVOKE,),
    ("POST", "/responses/x/cancel"): (Scope.SERVE_INVOKE,),
    ("GET", "/responses/x/input_items"): (Scope.SERVE_INVOKE,),
}
every_route = pytest.mark.parametrize(("method", "path"), ROUTES)


async def test_every_route_is_in_the_table(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()

    served = {
        (method.upper(), re.sub(r"\{\w+\}", "x", path.removeprefix("/v1")))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"] == ["openai"]
    }

    assert served == set(ROUTES)


@every_route
async def test_a_stranger_is_refused(method: str, path: str, client: httpx.AsyncClient, services: Services) -> None:
    await header(services)

    answer = await client.request(method, f"/v1{path}")

    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@every_route
async def test_every_scope_but_the_right_one_is_not_enough(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    sent = await header(services, scopes=[scope for scope in Scope if scope not in ROUTES[method, path]])

    answer = await client.request(method, path, headers=sent)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")


@every_route
async def test_the_right_scope_alone_is_enough(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    for scope in ROUTES[method, path]:
        answer = await client.request(method, path, headers=await header(services, scopes=[scope]))

        assert answer.status_code in {200, 400, 404}


async def test_malformed_queries_are_told_in_openais_words(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/responses/resp_x?starting_after=no")

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "starting_after", "invalid_request")
