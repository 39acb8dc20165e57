"""Every route asks for a key, for its scope, and for the tenant that owns what is asked for."""

from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from tests.unit.api.keyed import header
from tests.unit.api.payloads import payload

JOB = "01890a5d-ac96-774b-bcce-b302099a8057"
KEY_ID = "0123456789abcdef"
PROGRAM = "program.pkl"
"""A good name for a program too, so that `{name}` stands for both."""
READ_PROGRAMS = (Scope.SERVE_INVOKE, Scope.JOBS_READ)
"""Either of them is enough."""
PARTS = {
    "job_id": JOB,
    "key_id": KEY_ID,
    "name": PROGRAM,
    "version": "1",
    "other": "2",
    "alias": "beta",
    "model": "x",
    "response_id": "x",
    "run_id": "run_x",
    "conversation": "conv_x",
    "message_id": "msg_x",
}

ROUTES: dict[tuple[str, str], Scope | tuple[Scope, ...]] = {
    ("POST", "/run"): Scope.JOBS_WRITE,
    ("GET", "/jobs"): Scope.JOBS_READ,
    ("GET", f"/jobs/{JOB}"): Scope.JOBS_READ,
    ("DELETE", f"/jobs/{JOB}"): Scope.JOBS_WRITE,
    ("GET", f"/jobs/{JOB}/summary"): Scope.JOBS_READ,
    ("GET", f"/jobs/{JOB}/logs"): Scope.JOBS_READ,
    ("GET", f"/jobs/{JOB}/usage"): Scope.JOBS_READ,
    ("GET", f"/jobs/{JOB}/events"): Scope.JOBS_READ,
    ("POST", f"/jobs/{JOB}/cancel"): Scope.JOBS_WRITE,
    ("POST", f"/jobs/{JOB}/pause"): Scope.JOBS_WRITE,
    ("POST", f"/jobs/{JOB}/resume"): Scope.JOBS_WRITE,
    ("POST", f"/jobs/{JOB}/retry"): Scope.JOBS_WRITE,
    ("GET", f"/jobs/{JOB}/artifact"): Scope.ARTIFACTS_READ,
    ("GET", f"/jobs/{JOB}/artifact/files/program.pkl"): Scope.ARTIFACTS_READ,
    ("GET", "/programs"): READ_PROGRAMS,
    ("GET", f"/programs/{PROGRAM}"): READ_PROGRAMS,
    ("DELETE", f"/programs/{PROGRAM}"): Scope.JOBS_WRITE,
    ("GET", f"/programs/{PROGRAM}/versions"): READ_PROGRAMS,
    ("POST", f"/programs/{PROGRAM}/versions"): Scope.JOBS_WRITE,
    ("GET", f"/programs/{PROGRAM}/versions/1"): READ_PROGRAMS,
    ("DELETE", f"/programs/{PROGRAM}/versions/1"): Scope.JOBS_WRITE,
    ("GET", f"/programs/{PROGRAM}/versions/1/compare/2"): READ_PROGRAMS,
    ("POST", f"/programs/{PROGRAM}/versions/1/retire"): Scope.JOBS_WRITE,
    ("GET", f"/programs/{PROGRAM}/aliases/beta"): READ_PROGRAMS,
    ("PUT", f"/programs/{PROGRAM}/aliases/beta"): Scope.JOBS_WRITE,
    ("DELETE", f"/programs/{PROGRAM}/aliases/beta"): Scope.JOBS_WRITE,
    ("POST", f"/programs/{PROGRAM}/aliases/beta/rollback"): Scope.JOBS_WRITE,
    ("GET", f"/programs/{PROGRAM}/openapi.json"): READ_PROGRAMS,
    ("POST", f"/programs/{PROGRAM}/predict"): Scope.SERVE_INVOKE,
    ("POST", f"/programs/{PROGRAM}/predict/stream"): Scope.SERVE_INVOKE,
    ("POST", "/predict"): Scope.SERVE_INVOKE,
    ("POST", "/predict/stream"): Scope.SERVE_INVOKE,
    ("POST", "/query"): Scope.SERVE_INVOKE,
    ("GET", "/runs/run_x"): Scope.SERVE_INVOKE,
    ("DELETE", "/runs/run_x"): Scope.SERVE_INVOKE,
    ("GET", "/runs/run_x/events"): Scope.SERVE_INVOKE,
    ("POST", "/runs/run_x/cancel"): Scope.SERVE_INVOKE,
    ("GET", "/usage"): Scope.JOBS_READ,
    ("POST", "/chat"): Scope.SERVE_INVOKE,
    ("POST", "/chat/stream"): Scope.SERVE_INVOKE,
    ("GET", "/chat/stream"): Scope.SERVE_INVOKE,
    ("POST", "/chat/basic"): Scope.SERVE_INVOKE,
    ("POST", "/api/chat/basic"): Scope.SERVE_INVOKE,
    ("POST", "/conversations"): Scope.SERVE_INVOKE,
    ("GET", "/conversations"): Scope.SERVE_INVOKE,
    ("GET", "/conversations/export"): Scope.SERVE_INVOKE,
    ("GET", "/conversations/conv_x"): Scope.SERVE_INVOKE,
    ("POST", "/conversations/conv_x"): Scope.SERVE_INVOKE,
    ("DELETE", "/conversations/conv_x"): Scope.SERVE_INVOKE,
    ("POST", "/conversations/conv_x/messages/msg_x/regenerate"): Scope.SERVE_INVOKE,
    ("POST", "/conversations/conv_x/messages/msg_x/feedback"): Scope.SERVE_INVOKE,
    ("DELETE", "/conversations/conv_x/messages/msg_x/feedback"): Scope.SERVE_INVOKE,
    ("POST", "/keys"): Scope.ADMIN,
    ("GET", "/keys"): Scope.ADMIN,
    ("DELETE", f"/keys/{KEY_ID}"): Scope.ADMIN,
    ("GET", "/webhooks/secret"): Scope.ADMIN,
    ("GET", "/metrics"): Scope.METRICS_READ,
}
PUBLIC = {"/health", "/health/ready", "/health/live"}

every_route = pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part.replace(JOB, "ID"))


def scopes_of(method: str, path: str) -> tuple[Scope, ...]:
    """Return the scopes of which a route asks for one."""
    found = ROUTES[method, path]
    return (found,) if isinstance(found, Scope) else found


async def test_every_route_of_the_application_is_in_the_table(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()

    served = {
        (method.upper(), path.removeprefix("/v1").format(**PARTS))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation["tags"] != ["openai"]  # see openai/test_access.py
    }

    assert {each for each in served if each[1] not in PUBLIC} == set(ROUTES)


@every_route
@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_without_a_key_nobody_is_served(
    prefix: str, method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    await header(services)

    answer = await client.request(method, prefix + path)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@every_route
@pytest.mark.parametrize("state", ["expired", "revoked"])
async def test_a_closed_key_opens_nothing(
    state: str, method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    sent = await header(services, **{state: True})

    answer = await client.request(method, path, headers=sent)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert state in answer.json()["detail"]


@every_route
@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": "Bearer nonsense"},
        {"authorization": "Bearer dsk_0123456789abcdef." + "a" * 43},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": ""},
        {"x-api-key": "dsk_0123456789abcdef." + "a" * 43},
    ],
    ids=["no token", "unknown", "another scheme", "empty", "another header"],
)
async def test_a_stranger_opens_nothing(
    sent: dict[str, str], method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    await header(services)

    answer = await client.request(method, path, headers=sent)

    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert "send it as a Bearer token in the header Authorization" in answer.json()["detail"]


@every_route
async def test_every_scope_but_the_right_one_is_not_enough(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    needed = scopes_of(method, path)
    sent = await header(services, scopes=[scope for scope in Scope if scope not in needed])

    answer = await client.request(method, path, headers=sent)

    assert (answer.status_code, answer.json()["error"]) == (403, "scope_missing")
    assert f"has no scope '{needed[0]}'" in answer.json()["detail"]


@every_route
async def test_the_right_scope_alone_is_enough(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    for scope in scopes_of(method, path):
        answer = await client.request(method, path, headers=await header(services, scopes=[scope]))

        assert answer.status_code not in {401, 403}


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path in ROUTES if JOB in path])
async def test_a_foreign_job_is_as_unknown_as_one_that_never_was(
    method: str, path: str, client: httpx.AsyncClient, services: Services
) -> None:
    mine, theirs = await header(services, tenant="acme"), await header(services, tenant="other")
    job_id = (await client.post("/run", json=payload(), headers=mine)).json()["job_id"]
    wanted = path.replace(JOB, job_id)

    foreign = await client.request(method, wanted, headers=theirs)
    unknown = await client.request(method, path, headers=theirs)
    own = await client.request(method, wanted, headers=mine)

    assert own.status_code in {200, 409}
    assert (foreign.status_code, foreign.json()["error"]) == (404, "job_not_found")
    assert told(foreign, job_id) == told(unknown, JOB)


async def test_a_tenant_comes_from_the_key_and_from_nowhere_else(
    client: httpx.AsyncClient, services: Services, jobs: MemoryJobStore
) -> None:
    sent = {**await header(services), "x-tenant": "other", "tenant": "other"}

    answer = await client.post("/run?tenant=other", json=payload(), headers=sent)
    named = await client.post("/run", json=payload(tenant="other"), headers=sent)

    assert (await jobs.get(answer.json()["job_id"])).tenant == "acme"
    assert named.status_code == 422


async def test_one_idempotency_key_of_two_tenants_makes_two_jobs(client: httpx.AsyncClient, services: Services) -> None:
    ids = set()
    for tenant in ("acme", "other"):
        sent = {**await header(services, tenant=tenant), "idempotency-key": "k"}
        ids |= {(await client.post("/run", json=payload(), headers=sent)).json()["job_id"] for _ in range(2)}

    assert len(ids) == 2


async def test_equal_rows_of_two_tenants_are_two_files(
    client: httpx.AsyncClient, services: Services, jobs: MemoryJobStore
) -> None:
    paths = set()
    for tenant in ("acme", "other"):
        answer = await client.post("/run", json=payload(), headers=await header(services, tenant=tenant))
        paths.add((await jobs.get(answer.json()["job_id"])).dataset_path)

    assert {path.split("/")[1] for path in paths} == {"acme", "other"}


async def test_jobs_of_open_mode_are_out_of_reach_once_another_tenant_has_the_only_key(
    client: httpx.AsyncClient, services: Services
) -> None:
    job_id = (await client.post("/run", json=payload())).json()["job_id"]

    foreign = await client.get(f"/jobs/{job_id}", headers=await header(services, tenant="acme"))
    own = await client.get(f"/jobs/{job_id}", headers=await header(services, tenant="local"))

    assert (foreign.status_code, own.status_code) == (404, 200)


async def test_the_last_use_of_a_key_is_shown(client: httpx.AsyncClient, services: Services) -> None:
    sent = await header(services)

    [key] = (await client.get("/keys", headers=sent)).json()["data"]

    assert key["last_used_at"] is not None


async def test_the_document_says_which_routes_need_a_key(client: httpx.AsyncClient) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()

    scheme = document["components"]["securitySchemes"]["ApiKey"]
    listed = {path.removeprefix("/v1").format(**PARTS): operations for path, operations in document["paths"].items()}
    for method, path in ROUTES:
        operation = listed[path][method.lower()]
        assert operation["security"] == [{"ApiKey": []}], path
        assert {"401", "403", "429", "503"} <= set(operation["responses"]), path
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert "security" not in document["paths"]["/v1/health/live"]["get"]


def told(answer: httpx.Response, job_id: str) -> dict[str, str]:
    body = answer.json()
    return {"error": body["error"], "detail": body["detail"].replace(job_id, "ID")}
