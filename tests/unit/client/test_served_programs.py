"""What the clients send about served programs, and what they read; both clients do the same."""

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from dspy_service.client import ApiError, RequestRejectedError, ServiceUnavailableError, SubmissionError
from dspy_service.client.served_programs import AsyncServedPrograms, ServedPrograms
from dspy_service.domain.serving.program import ChatMapping
from dspy_service.domain.spec import ModelSettings
from tests.unit.client.service import ScriptedService, refusal

NOW = "2026-01-02T03:04:05.000001Z"
ALIAS = {"name": "production", "version": 2, "previous_version": 1, "revision": 7, "moved_at": NOW, "mood": "good"}
PROGRAM = {"name": "answers", "created_at": NOW, "latest_version": 2, "aliases": [ALIAS]}
FIELD: dict[str, Any] = {
    "name": "question",
    "side": "input",
    "type_name": "str",
    "json_schema": {},
    "description": None,
}
VERSION: dict[str, Any] = {
    "program": "answers",
    "version": 2,
    "status": "active",
    "created_at": NOW,
    "digest": "a" * 64,
    "module_name": "predict",
    "module_kwargs": {},
    "interface": {"signature_name": "Ask", "instructions": "Answer.", "fields": [FIELD]},
    "hosting": "plain",
    "model_config": {"name": "demo/in-context"},
    "adapter": "chat",
    "chat": {},
    "job_id": "j1",
    "optimizer_name": None,
    "baseline_score": None,
    "optimized_score": 0.5,
    "metadata": {},
}
SCORE = {"before": None, "after": None, "difference": None}
DIFFERENCE = {
    "program": "answers",
    "before": 1,
    "after": 2,
    "is_equal": True,
    "instructions": None,
    "demos": None,
    "fields": [],
    "baseline_score": SCORE,
    "optimized_score": SCORE,
    "settings": {},
}
VERSIONS = {"object": "list", "data": [VERSION], "has_more": False, "last_version": 2}

Ask = Callable[[ServedPrograms], object]
AskAsync = Callable[[AsyncServedPrograms], Awaitable[object]]

CALLS: list[tuple[str, str, Any, Ask, AskAsync]] = [
    (
        "POST",
        "/versions",
        VERSION,
        lambda p: p.deploy("answers", job_id="j1"),
        lambda p: p.deploy("answers", job_id="j1"),
    ),
    ("GET", "", PROGRAM, lambda p: p.get("answers"), lambda p: p.get("answers")),
    ("GET", "/versions", VERSIONS, lambda p: p.versions("answers"), lambda p: p.versions("answers")),
    ("GET", "/versions/2", VERSION, lambda p: p.version("answers", 2), lambda p: p.version("answers", 2)),
    (
        "GET",
        "/versions/1/compare/2",
        DIFFERENCE,
        lambda p: p.compare("answers", 1, 2),
        lambda p: p.compare("answers", 1, 2),
    ),
    ("GET", "/aliases/production", ALIAS, lambda p: p.alias("answers"), lambda p: p.alias("answers")),
    ("PUT", "/aliases/production", ALIAS, lambda p: p.move("answers", 2), lambda p: p.move("answers", 2)),
    ("POST", "/aliases/production/rollback", ALIAS, lambda p: p.roll_back("answers"), lambda p: p.roll_back("answers")),
    ("DELETE", "/aliases/b", None, lambda p: p.delete_alias("answers", "b"), lambda p: p.delete_alias("answers", "b")),
    ("POST", "/versions/2/retire", VERSION, lambda p: p.retire("answers", 2), lambda p: p.retire("answers", 2)),
    (
        "DELETE",
        "/versions/2",
        None,
        lambda p: p.delete_version("answers", 2),
        lambda p: p.delete_version("answers", 2),
    ),
    ("DELETE", "", None, lambda p: p.delete("answers"), lambda p: p.delete("answers")),
]


@pytest.mark.parametrize(
    ("method", "path", "answer", "ask", "ask_async"), CALLS, ids=[f"{method} {path}" for method, path, *_ in CALLS]
)
async def test_both_clients_ask_the_same_and_read_the_same(
    method: str, path: str, answer: object, ask: Ask, ask_async: AskAsync
) -> None:
    status = 204 if answer is None else 200
    answers = [httpx.Response(status, json=answer) for _ in range(2)]
    service = ScriptedService({f"/programs/answers{path}": answers})

    with service.client() as client:
        found = ask(client.programs)
    async with service.async_client() as client_too:
        found_too = await ask_async(client_too.programs)

    first, second = service.requests
    assert found == found_too
    assert (first.method, first.content) == (second.method, second.content)
    assert first.method == method


def test_a_deployment_says_what_the_options_say() -> None:
    service = ScriptedService({"/programs/answers/versions": [httpx.Response(201, json=VERSION)]})

    with service.client() as client:
        made = client.programs.deploy(
            "answers",
            program={"demos": []},
            program_metadata={"module_name": "cot"},
            model=ModelSettings(name="openai/gpt-4o-mini", temperature=0.5),
            adapter="json",
            chat=ChatMapping(question="question"),
            metadata={"team": "a"},
            idempotency_key="k",
        )

    sent = service.body()
    assert made.lm.name == "demo/in-context"
    assert service.requests[0].headers["idempotency-key"] == "k"
    assert sent["model_config"] == {"name": "openai/gpt-4o-mini", "temperature": 0.5, "extra": {}}
    assert sent["chat"]["question"] == "question"
    assert {name: sent[name] for name in ("program", "program_metadata", "adapter", "metadata")} == {
        "program": {"demos": []},
        "program_metadata": {"module_name": "cot"},
        "adapter": "json",
        "metadata": {"team": "a"},
    }
    assert "model" not in sent


def test_a_pickle_is_sent_as_base64() -> None:
    service = ScriptedService({"/programs/answers/versions": [httpx.Response(201, json=VERSION)]})

    with service.client() as client:
        client.programs.deploy("answers", program={}, program_metadata={}, program_pickle=b"\x80\x05.")

    sent = service.body()
    assert base64.b64decode(sent["program_pickle_base64"]) == b"\x80\x05."
    assert "program_pickle" not in sent


@pytest.mark.parametrize("model", ["demo/in-context", {"name": "demo/in-context"}])
def test_a_model_may_be_a_name(model: Any) -> None:  # noqa: ANN401  # a name, or settings
    service = ScriptedService({"/programs/answers/versions": [httpx.Response(201, json=VERSION)]})

    with service.client() as client:
        client.programs.deploy("answers", job_id="j1", model=model)

    assert service.body() == {"job_id": "j1", "model_config": {"name": "demo/in-context"}}


def test_a_deployment_that_is_sent_again_has_the_same_key() -> None:
    answers: list[httpx.Response | httpx.TransportError] = [
        httpx.ConnectError("reset"),
        httpx.Response(200, json=VERSION),
    ]
    service = ScriptedService({"/programs/answers/versions": answers})

    with service.client() as client:
        client.programs.deploy("answers", job_id="j1")

    keys = [request.headers["idempotency-key"] for request in service.requests]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_program_that_is_no_json_is_not_sent() -> None:
    service = ScriptedService({})

    with service.client() as client, pytest.raises(SubmissionError, match="cannot be written as JSON"):
        client.programs.deploy("answers", program={"score": float("nan")}, program_metadata={})

    assert service.requests == []


def test_all_programs_are_listed_page_by_page() -> None:
    pages: list[httpx.Response | httpx.TransportError] = [
        httpx.Response(200, json={"data": [PROGRAM], "has_more": True, "last_name": "answers"}),
        httpx.Response(200, json={"data": [{**PROGRAM, "name": "b"}], "has_more": False, "last_name": "b"}),
    ]
    service = ScriptedService({"/programs": pages})

    with service.client() as client:
        found = client.programs.list()

    assert [program.name for program in found] == ["answers", "b"]
    assert [request.url.params.get("after") for request in service.requests] == [None, "answers"]


async def test_the_asynchronous_client_lists_and_pages_too() -> None:
    service = ScriptedService(
        {
            "/programs": [httpx.Response(200, json={"data": [], "has_more": False, "last_name": None})],
            "/programs/answers/versions": [httpx.Response(200, json=VERSIONS)],
        }
    )

    async with service.async_client() as client:
        found = await client.programs.list()
        page = await client.programs.versions("answers", before=3, limit=2)

    assert (found, page.last_version) == ([], 2)
    assert dict(service.requests[-1].url.params) == {"before": "3", "limit": "2"}


@pytest.mark.parametrize(("revision", "header"), [(None, {}), (7, {"if-match": '"7"'}), (0, {"if-none-match": "*"})])
def test_a_move_says_what_was_seen(revision: int | None, header: dict[str, str]) -> None:
    service = ScriptedService({"/programs/answers/aliases/production": [httpx.Response(200, json=ALIAS)]})

    with service.client() as client:
        moved = client.programs.move("answers", 2, if_revision=revision)

    sent = service.requests[0].headers
    assert {name: sent[name] for name in ("if-match", "if-none-match") if name in sent} == header
    assert json.loads(service.requests[0].content) == {"version": 2}
    assert moved.revision == 7


def test_a_move_is_not_sent_twice_because_nobody_knows_whether_it_happened() -> None:
    path = "/programs/answers/aliases/production"
    service = ScriptedService({path: [refusal(503, "store_unavailable", "Try again.")]})

    with service.client() as client, pytest.raises(ServiceUnavailableError):
        client.programs.move("answers", 2, if_revision=7)

    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(412, "alias_moved", ApiError), (400, "unsupported_request", RequestRejectedError)]
)
def test_a_refusal_has_its_code(status: int, code: str, kind: type[ApiError]) -> None:
    path = "/programs/answers/aliases/production"
    service = ScriptedService({path: [refusal(status, code, "Read it again.")]})

    with service.client() as client, pytest.raises(kind, match="Read it again") as caught:
        client.programs.move("answers", 2)

    assert (caught.value.status_code, caught.value.code) == (status, code)
