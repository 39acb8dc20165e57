"""Whatever the HTTP API offers to its users, the SDK asks for."""

import re

import httpx
import pytest

from dspy_service.client import calls
from dspy_service.client.calls import Call
from dspy_service.domain.keys import USER_SCOPES

JOB = "j1"
CALLS: list[Call[object]] = [
    calls.health(),
    calls.submit({}, idempotency_key="k"),
    calls.jobs({}),
    calls.status(JOB),
    calls.summary(JOB),
    calls.logs(JOB),
    calls.events(JOB, after=0, limit=1),
    calls.usage(JOB),
    *(calls.steer(JOB, verb) for verb in ("cancel", "pause", "resume", "retry")),
    calls.delete(JOB),
    calls.artifact(JOB),
    calls.artifact_file(JOB, "n1"),
    calls.create_key("k", USER_SCOPES, None),
    calls.keys(),
    calls.revoke_key("k1"),
    calls.webhook_secret(),
]
FOR_MACHINES = {("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics")}
"""Load balancers and Prometheus ask for these."""
NAMES = {"{job_id}": JOB, "{name}": "n1", "{key_id}": "k1"}


@pytest.mark.parametrize("prefix", ["/v1"])
async def test_every_route_is_asked_for_by_a_call_of_the_client(client: httpx.AsyncClient, prefix: str) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    routes = {
        (method.upper(), re.sub(r"\{\w+\}", lambda name: NAMES[name.group()], path.removeprefix(prefix)))
        for path, methods in paths.items()
        for method in methods
    }

    assert routes - {(call.method, call.path) for call in CALLS} == FOR_MACHINES
