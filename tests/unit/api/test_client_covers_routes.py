"""Whatever the HTTP API offers to its users, the SDK asks for."""

import re

import httpx
import pytest

from dspy_service.client import calls, chat_calls, program_calls, run_calls
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
    program_calls.programs({}),
    program_calls.program("n1"),
    program_calls.deploy("n1", {}, idempotency_key="k"),
    program_calls.versions("n1", {}),
    program_calls.version("n1", 1),
    program_calls.compare("n1", 1, 2),
    program_calls.retire("n1", 1),
    program_calls.delete_version("n1", 1),
    program_calls.delete("n1"),
    program_calls.alias("n1", "beta"),
    program_calls.move_alias("n1", "beta", 1, if_revision=None),
    program_calls.roll_back("n1", "beta", if_revision=None),
    program_calls.delete_alias("n1", "beta", if_revision=None),
    run_calls.predict("n1", {}, idempotency_key="k"),
    run_calls.predict_stream("n1", {}, idempotency_key="k"),
    run_calls.program_document("n1"),
    run_calls.run("r1"),
    run_calls.run_events("r1", after=0, limit=1),
    run_calls.cancel_run("r1"),
    run_calls.usage({}),
    chat_calls.chat({}, idempotency_key="k"),
    chat_calls.chat_stream({}, idempotency_key="k"),
    chat_calls.regenerate("c1", "m1", {}, idempotency_key="k"),
    chat_calls.start_conversation({}),
    chat_calls.conversations({}),
    chat_calls.conversation("c1", {}),
    chat_calls.change_conversation("c1", {}),
    chat_calls.delete_conversation("c1"),
    chat_calls.rate("c1", "m1", {}),
    chat_calls.take_rating_back("c1", "m1"),
    chat_calls.rated_rows({}),
    calls.create_key("k", USER_SCOPES, None),
    calls.keys(),
    calls.revoke_key("k1"),
    calls.webhook_secret(),
]
FOR_MACHINES = {("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics")}
"""Load balancers and Prometheus ask for these."""
OTHER_NAMES = {
    ("POST", "/predict"),
    ("POST", "/predict/stream"),
    ("POST", "/query"),
    ("DELETE", "/runs/r1"),
    ("GET", "/chat/stream"),
    ("POST", "/chat/basic"),
    ("POST", "/api/chat/basic"),
}
"""For programs that were written for other services; the client has calls that do the same."""
NAMES = {
    "{run_id}": "r1",
    "{conversation}": "c1",
    "{message_id}": "m1",
    "{job_id}": JOB,
    "{name}": "n1",
    "{key_id}": "k1",
    "{version}": "1",
    "{other}": "2",
    "{alias}": "beta",
}


@pytest.mark.parametrize("prefix", ["/v1"])
async def test_every_route_is_asked_for_by_a_call_of_the_client(client: httpx.AsyncClient, prefix: str) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    routes = {
        (method.upper(), re.sub(r"\{\w+\}", lambda name: NAMES[name.group()], path.removeprefix(prefix)))
        for path, methods in paths.items()
        for method, operation in methods.items()
        if operation["tags"] != ["openai"]  # OpenAI's own client asks for these
    }

    assert routes - {(call.method, call.path.partition("?")[0]) for call in CALLS} == FOR_MACHINES | OTHER_NAMES
