"""What the seeds got wrong or left open, done right, over the running service."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.platforms import ROOT, plain_environment
from tests.support.processes import wait_until
from tests.support.seed_service import ANSWER, PAGE, PROVIDER_SECRET, SLOW_PIECES, SOURCES, SeedService

FRESH = {"options": {"cache": "bypass"}}
STREAMS = [
    pytest.param("/chat/basic", "question", id="seed000"),
    pytest.param("/predict/stream", "text", id="seed001-predict"),
    pytest.param("/v1/query", "text", id="seed001-query"),
    pytest.param("/chat/stream", "question", id="seed001-chat"),
    pytest.param("/chat/stream?format=seed002", "message", id="seed002"),
    pytest.param("/chat/stream", "message", id="seed003"),
]


@pytest.mark.parametrize("path", ["/chat", "/chat/basic"])
def test_bug_1_and_b4_sources_are_those_that_the_answer_names_in_its_order(path: str, seeds: SeedService) -> None:
    """Bug 1 and B4 of the seeds: their code counts them from one, and so names the wrong ones."""
    body = {"message": "What do you rest on?", "stream": False}

    told = seeds.http.post(path, json=body).json()
    shown = seeds.http.get(f"/conversations/{told.get('conversation_id', told.get('session_id'))}").json()["messages"]

    assert told["sources"] == SOURCES
    assert shown[-1]["fields"]["sources"] == SOURCES


@pytest.mark.parametrize(("path", "words"), STREAMS)
def test_bug_2_no_marker_of_an_adapter_reaches_a_reader(path: str, words: str, seeds: SeedService) -> None:
    """Bug 2 of the seeds: and brackets of the answer's own are no markers."""
    told = json.dumps(seeds.read(path, {words: "What leaks?"}), ensure_ascii=False)

    assert "[[ ##" not in told
    assert "## ]]" not in told
    assert "[[ notes ]]" in told


@pytest.mark.parametrize(("path", "words"), STREAMS)
def test_bug_5_events_survive_any_cut_of_the_bytes(path: str, words: str, seeds: SeedService) -> None:
    """Bug 5 of the seeds: an event is one line of UTF-8 and a blank one, however it arrives."""
    with seeds.http.stream("POST", path, json={words: "What splits?"}) as answer:
        parts = list(answer.iter_raw(chunk_size=1))

    blocks, waiting = [], b""
    for part in parts:
        waiting += part
        while b"\n\n" in waiting:
            block, _, waiting = waiting.partition(b"\n\n")
            blocks.append(block.decode())
    lines = [[line for line in block.split("\n") if line.startswith("data: ")] for block in blocks]
    data = [line.removeprefix("data: ") for found in lines for line in found]
    assert waiting == b""
    assert max(map(len, parts)) == 1
    assert max(map(len, lines)) == 1
    assert all(each == "[DONE]" or json.loads(each) for each in data)
    assert ANSWER in _told(data)


def _told(data: list[str]) -> str:
    messages = [json.loads(each) for each in data if each != "[DONE]"]
    keys = ("content", "chunk", "token", "text")
    return "".join(str(each[key]) for each in messages for key in keys if key in each)


def test_bug_6_ids_of_conversations_do_not_collide_and_cannot_be_guessed(seeds: SeedService) -> None:
    """Bug 6 of the seeds: many within one second, of one user."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: seeds.http.post("/conversations", json={"user_id": "user_6"}), range(24)))

    ids = {answer.json()["conversation_id"] for answer in made}
    assert len(ids) == len(made)
    assert not any("user_6" in each for each in ids)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_bug_6_a_conversation_of_another_user_is_not_found(method: str, seeds: SeedService) -> None:
    """Bug 6 of the seeds: nor can it be continued."""
    made = seeds.http.post("/conversations", json={"user_id": "owner"}).json()["conversation_id"]

    looked = seeds.http.request(method, f"/conversations/{made}", params={"user_id": "own"})
    said = seeds.http.post("/chat", json={"message": "Hello", "conversation_id": made, "user_id": "own"})

    assert (looked.status_code, said.status_code) == (404, 404)


def test_bug_7_and_b2_a_slow_model_blocks_nobody_else(seeds: SeedService) -> None:
    """Bug 7 and B2 of the seeds."""
    body = {"message": "Please be slow for me alone.", **FRESH}
    with seeds.http.stream("POST", "/chat/stream", json=body) as slow:
        next(line for line in slow.iter_lines() if '"token"' in line)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda count: _answer(seeds, count), range(8)))
        still = seeds.asked("for me alone")

    assert answers == [ANSWER] * 8
    assert still.pieces_sent < SLOW_PIECES
    assert still.closed_at is None


def _answer(seeds: SeedService, count: int) -> Any:  # noqa: ANN401  # JSON
    return seeds.http.post("/predict", json={"text": f"Quick {count}?"}).json()["data"]["answer"]


@pytest.mark.parametrize(("path", "words"), [("/predict", "text"), ("/chat", "message")])
def test_bug_7_a_refusal_of_the_provider_leaks_no_key(path: str, words: str, seeds: SeedService) -> None:
    """Bug 7 of the seeds: and the status says that it is not the caller's fault."""
    answer = seeds.http.post(path, json={words: "Please be wrong."})

    assert answer.status_code >= 500
    assert PROVIDER_SECRET not in answer.text
    assert {"error", "detail", "request_id"} <= answer.json().keys()


def test_bug_7_a_stream_that_the_provider_refuses_leaks_no_key(seeds: SeedService) -> None:
    """Bug 7 of the seeds."""
    told = seeds.read("/chat/stream", {"message": "Please be wrong."})

    assert [each["type"] for each in told][-2:] == ["error", "end"]
    assert PROVIDER_SECRET not in json.dumps(told)


def test_bug_8_an_open_address_without_a_key_is_refused_at_the_start() -> None:
    """Bug 8 of the seeds: binding 0.0.0.0 without authentication."""
    environment = plain_environment(DSPY_SERVICE_HOST="0.0.0.0", DSPY_SERVICE_PORT="1")  # noqa: S104  # it is refused

    ended = subprocess.run(  # our own program
        [sys.executable, "main.py"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode != 0
    assert "key" in ended.stdout + ended.stderr


def test_bug_8_only_pages_that_are_named_may_call(seeds: SeedService) -> None:
    """Bug 8 of the seeds."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    named, other = (
        seeds.http.options("/chat/stream", headers={**asked, "origin": page}) for page in (PAGE, "http://evil.example")
    )

    assert (named.status_code, named.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "access-control-allow-credentials" not in named.headers
    assert "access-control-allow-origin" not in other.headers


def test_b5_the_model_is_told_what_was_said_before(seeds: SeedService) -> None:
    """B5 of the seeds: history of a session, which their code leaves open."""
    first = seeds.read("/chat/basic", {"question": "What did I say first?"})
    seeds.read("/chat/basic", {"question": "What did I say last?", "session_id": first[-2]["session_id"]})

    prompt = [str(message["content"]) for message in seeds.asked("What did I say last?").body["messages"]]
    assert any("What did I say first?" in text for text in prompt[:-1])
    assert any("Light scatters" in text for text in prompt[:-1])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("POST", "/chat", {"message": "Hello"}, 200, id="ok"),
        pytest.param("POST", "/conversations", {}, 201, id="created"),
        pytest.param("POST", "/chat", {"message": "Hello", "mode": "deep"}, 400, id="not served"),
        pytest.param("GET", "/conversations/conv_none", None, 404, id="unknown"),
        pytest.param("POST", "/chat", {"message": "Hello", "conversation_id": "conv_none"}, 404, id="unknown one"),
        pytest.param("POST", "/chat", {}, 422, id="malformed"),
    ],
)
def test_b17_the_status_says_what_happened(
    method: str, path: str, body: object, status: int, seeds: SeedService
) -> None:
    """B17 of the seeds."""
    answer = seeds.http.request(method, path, json=body)

    assert answer.status_code == status, answer.text


def test_b20_load_balancers_can_ask_whether_it_lives_and_whether_it_is_ready(seeds: SeedService) -> None:
    """B20 of the seeds."""
    live = seeds.http.get("/health/live")
    wait_until(lambda: seeds.http.get("/health/ready").json()["serving"]["live"] == 1)  # the last part that starts
    ready = seeds.http.get("/health/ready")

    assert (live.status_code, live.json()["status"]) == (200, "ok")
    assert (ready.status_code, ready.json()["serving"]["live"]) == (200, 1)
