"""The endpoints that the seeds promise, one by one, over the running service."""

from importlib.metadata import version
from typing import Any

import httpx
import pytest

from tests.support.seed_service import (
    ANSWER,
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    REASONING,
    SOURCES,
    SeedService,
)

EVENT_STREAM = {"Accept": "text/event-stream"}


def texts(told: list[Any], kind: str, key: str) -> str:
    return "".join(message[key] for message in told if message != "[DONE]" and message.get("type") == kind)


@pytest.mark.parametrize("path", ["/chat/basic", "/api/chat/basic"])
def test_e2_a_paper_chat_answers_whole_with_its_sources(path: str, seeds: SeedService) -> None:
    """E2 of the seeds: ``stream: false``."""
    answer = seeds.http.post(path, json={"question": "Why is the sky blue?", "mode": "basic", "stream": False})

    assert answer.status_code == 200, answer.text
    assert {name: answer.json()[name] for name in ("answer", "sources")} == {"answer": ANSWER, "sources": SOURCES}


@pytest.mark.parametrize("path", ["/chat/basic", "/api/chat/basic"])
def test_e2_a_paper_chat_streams_unless_told_otherwise(path: str, seeds: SeedService) -> None:
    """E2 of the seeds: ``stream`` is true by default, and the session goes on."""
    first = seeds.read(path, {"question": "Why is the sky blue, streamed?"})
    again = seeds.read(path, {"question": "And the sea?", "session_id": first[-2]["session_id"]})

    assert texts(first, "token", "content") == ANSWER
    assert first[-1] == again[-1] == "[DONE]"
    assert again[-2]["session_id"] == first[-2]["session_id"]


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
def test_e4_health_names_its_version_and_what_is_registered(path: str, seeds: SeedService) -> None:
    """E4 of the seeds."""
    health = seeds.http.get(path)

    assert health.status_code == 200
    assert (health.json()["status"], health.json()["version"]) == ("ok", version("dspy-service"))
    assert "cot" in health.json()["registered_assets"]["modules"]


def test_e5_predict_answers_a_text_with_all_outputs(seeds: SeedService) -> None:
    """E5 of the seeds."""
    answer = seeds.http.post("/predict", json={"text": "Why is the sky blue?"})

    data = {"reasoning": REASONING, "answer": ANSWER, "sources": SOURCES}
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "data": data})


def test_e6_and_bug_3_and_bug_4_predict_streams_in_the_framing_of_dspy(seeds: SeedService) -> None:
    """E6 of the seeds, whose own imports (bugs 3 and 4) raise: it streams without them."""
    told = seeds.read("/predict/stream", {"text": "Why is the sky blue, in pieces?"})

    chunks = [message for message in told if "chunk" in message]
    assert "".join(each["chunk"] for each in chunks if each["field"] == "answer") == ANSWER
    assert told[-2] == {"prediction": {"reasoning": REASONING, "answer": ANSWER, "sources": SOURCES}}
    assert told[-1] == "[DONE]"


def test_e7_a_query_streams_typed_messages(seeds: SeedService) -> None:
    """E7 of the seeds."""
    told = seeds.read("/v1/query", {"text": "Why is the sky blue, typed?"})

    assert texts(told, "token", "chunk") == ANSWER
    assert {"type": "result", "answer": ANSWER} in told
    assert {message["type"] for message in told[:-1]} == {"token", "status", "result"}
    assert told[-1] == "[DONE]"


@pytest.mark.parametrize(
    ("body", "key", "form"),
    [
        pytest.param({"question": "Whose?"}, "chunk", {"type": "token", "field": "answer"}, id="001"),
        pytest.param({"message": "Whose?", "user_id": "user_456"}, "token", {}, id="002"),
        pytest.param({"message": "Whose?"}, "text", {"type": "token", "field": "answer"}, id="003"),
    ],
)
def test_e8_one_path_streams_to_all_three_bodies_in_their_own_form(
    body: dict[str, str], key: str, form: dict[str, str], seeds: SeedService
) -> None:
    """E8 of the seeds."""
    told = seeds.read("/chat/stream", body)

    tokens = [each for each in told if key in each and form.items() <= each.items()]
    assert "".join(each[key] for each in tokens) == ANSWER
    assert {frozenset(each) for each in tokens} == {frozenset({key, *form})}


def test_e9_and_b18_a_chat_answers_with_sources_and_tokens(seeds: SeedService) -> None:
    """E9 of the seeds, and B18: what it cost."""
    first = seeds.http.post("/chat", json={"message": "How do I deploy my app?", "user_id": "user_9"}).json()
    sent = {"message": "And undo it?", "conversation_id": first["conversation_id"], "user_id": "user_9"}
    again = seeds.http.post("/chat", json=sent).json()

    assert (first["response"], first["sources"]) == (ANSWER, SOURCES)
    assert first["tokens_used"] == again["tokens_used"] == PROMPT_TOKENS + COMPLETION_TOKENS
    assert again["conversation_id"] == first["conversation_id"]


def test_e10_and_bug_6_conversations_are_listed_by_user(seeds: SeedService) -> None:
    """E10 of the seeds, and bug 6: one user's id may begin with another's."""
    mine = seeds.http.post("/conversations", json={"user_id": "u_1"}).json()["conversation_id"]
    other = seeds.http.post("/conversations", json={"user_id": "u_1_x"}).json()["conversation_id"]

    listed = seeds.http.get("/conversations", params={"user_id": "u_1"})

    assert (listed.status_code, listed.json()["conversations"]) == (200, [mine])
    assert seeds.http.get("/conversations", params={"user_id": "u_1_x"}).json()["conversations"] == [other]


def test_e11_a_conversation_shows_what_was_said(seeds: SeedService) -> None:
    """E11 of the seeds."""
    said = seeds.http.post("/chat", json={"message": "How do I look back?"}).json()

    shown = seeds.http.get(f"/conversations/{said['conversation_id']}")

    assert shown.status_code == 200
    assert [(each["role"], each["text"]) for each in shown.json()["messages"]] == [
        ("user", "How do I look back?"),
        ("assistant", ANSWER),
    ]


def test_e12_a_conversation_can_be_started_empty(seeds: SeedService) -> None:
    """E12 of the seeds: 201."""
    made = seeds.http.post("/conversations", json={"user_id": "user_12"})

    said = seeds.http.post("/chat", json={"message": "Hello", "user_id": "user_12", **_same(made)})
    assert (made.status_code, made.json()["message_count"]) == (201, 0)
    assert said.json()["conversation_id"] == made.json()["conversation_id"]


def test_e13_a_conversation_can_be_deleted_once(seeds: SeedService) -> None:
    """E13 of the seeds."""
    path = f"/conversations/{_same(seeds.http.post('/conversations', json={}))['conversation_id']}"

    deleted, again = seeds.http.delete(path), seeds.http.delete(path)

    assert (deleted.status_code, deleted.json()["status"]) == (200, "deleted")
    assert (again.status_code, seeds.http.get(path).status_code) == (404, 404)


def test_e14_and_b21_the_documentation_is_generated_and_requests_are_checked(seeds: SeedService) -> None:
    """E14 and B21 of the seeds."""
    page = seeds.http.get("/docs")
    document = seeds.http.get("/openapi.json").json()
    refused = seeds.http.post("/chat", json={"message": 7})

    assert page.status_code == 200
    assert "swagger" in page.text.lower()
    assert {"/v1/chat", "/v1/chat/stream", "/v1/conversations", "/v1/query"} <= set(document["paths"])
    assert {"response", "tokens_used"} <= set(document["components"]["schemas"]["ChatAnswer"]["properties"])
    assert refused.status_code == 422
    assert "message" in refused.text


@pytest.mark.parametrize("path", ["/chat", "/predict"])
def test_e15_paths_without_a_version_are_those_of_the_first(path: str, seeds: SeedService) -> None:
    """E15 of the seeds."""
    body = {"text": "Is it the same?"} if path == "/predict" else {"message": "Is it the same?"}

    old, new = seeds.http.post(path, json=body), seeds.http.post(f"/v1{path}", json=body)

    assert (old.status_code, new.status_code) == (200, 200)
    assert old.json().keys() == new.json().keys()


def test_e16_an_event_source_of_a_browser_can_chat_and_does_not_start_again(seeds: SeedService) -> None:
    """E16 of the seeds: an EventSource can only GET, and comes back by itself."""
    params = {"message": "Why is the sky blue, natively?", "user_id": "user_16"}
    with seeds.http.stream("GET", "/chat/stream", params=params, headers=EVENT_STREAM) as answer:
        lines = list(answer.iter_lines())
    last_id = [line.removeprefix("id: ") for line in lines if line.startswith("id: ")][-1]

    back = seeds.http.get("/chat/stream", params=params, headers={**EVENT_STREAM, "Last-Event-ID": last_id})
    events = seeds.read(f"/v1/runs/{answer.headers['x-run-id']}/events", {}, method="GET")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert any(line.startswith('data: {"done":true') for line in lines)
    assert back.status_code == 204
    assert events[-1]["type"] == "end"


def _same(made: httpx.Response) -> dict[str, str]:
    return {"conversation_id": str(made.json()["conversation_id"])}
