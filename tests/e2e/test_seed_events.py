"""The events that the seeds promise, form by form, over the running service."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.processes import wait_until
from tests.support.seed_service import (
    ANSWER,
    REASONING,
    SLOW_PIECES,
    SOURCES,
    SeedService,
)

FRESH = {"options": {"cache": "bypass"}}


def kinds(told: Sequence[Any]) -> list[str]:
    """Return the types of messages, equal ones that follow each other once."""
    found: list[str] = []
    for message in told:
        kind = message if message == "[DONE]" else message["type"]
        if found[-1:] != [kind]:
            found.append(kind)
    return found


def joined(told: Sequence[Any], kind: str, key: str) -> str:
    return "".join(each[key] for each in told if each != "[DONE]" and each["type"] == kind)


_TOLD = {
    "seed000": ("/chat/basic", "question", ["token", "reasoning", "sources", "done", "[DONE]"]),
    "seed001-query": ("/v1/query", "text", ["token", "status", "result", "[DONE]"]),
    "seed001-chat": ("/chat/stream", "question", ["token", "status", "complete", "[DONE]"]),
    "seed003": ("/chat/stream", "message", ["start", "token", "status", "final", "end"]),
}


@pytest.mark.parametrize(("form", "event"), [(form, event) for form in _TOLD for event in _TOLD[form][2]])
def test_every_event_of_the_seeds_is_told(form: str, event: str, seeds: SeedService) -> None:
    """All but ``error`` and ``ping``, which have tests of their own below."""
    path, words, _ = _TOLD[form]

    told = seeds.read(path, {words: f"Do you tell {event} of {form}?"})

    assert event in kinds(told)


def test_events_of_seed_000_a_paper_chat_tells_reasoning_tokens_sources_and_done(seeds: SeedService) -> None:
    """Events of seed 000: also the two kinds that its own code never sends."""
    told = seeds.read("/chat/basic", {"question": "Why is the sky blue, in events?"})

    assert kinds(told) == ["reasoning", "token", "sources", "done", "[DONE]"]
    assert joined(told, "reasoning", "content") == REASONING
    assert joined(told, "token", "content") == ANSWER
    assert told[-3]["sources"] == SOURCES
    assert (told[-2]["content"], told[-2]["sources"]) == (ANSWER, SOURCES)


def test_events_of_seed_001_a_query_tells_status_tokens_and_the_result(seeds: SeedService) -> None:
    """Events of seed 001: ``token{chunk}``, ``status{msg}``, ``result{answer}`` and ``[DONE]``."""
    told = seeds.read("/v1/query", {"inputs": {"question": "What is being done?"}, **FRESH})

    assert all(each["msg"] for each in told[:-1] if each["type"] == "status")
    assert kinds(told)[0] == "status"
    assert "token" in kinds(told)
    assert kinds(told)[-2:] == ["result", "[DONE]"]
    assert joined(told, "token", "chunk") == told[-2]["answer"] == ANSWER


def test_events_of_seed_001_a_question_is_told_field_by_field(seeds: SeedService) -> None:
    """Events of seed 001: ``token{field,chunk}``, ``status{message}``, ``complete{answer}`` and ``[DONE]``."""
    told = seeds.read("/chat/stream", {"question": "Which field is it?", **FRESH})

    fields = {name: [each for each in told if each != "[DONE]" and each.get("field") == name] for name in _FIELDS}
    assert {name: joined(fields[name], "token", "chunk") for name in _FIELDS} == _FIELDS
    assert all(each["message"] for each in told[:-1] if each["type"] == "status")
    assert told[-2:] == [{"type": "complete", "answer": ANSWER}, "[DONE]"]


_FIELDS = {"reasoning": REASONING, "answer": ANSWER}


def test_objects_of_seed_001_every_token_says_its_predictor_and_field(seeds: SeedService) -> None:
    """Objects of seed 001: what a ``StreamResponse`` says, and the last chunk of a field."""
    told = seeds.read("/chat/stream?format=v1", {"message": "Which predictor is it?"})

    tokens = [each for each in told if each["type"] == "token" and each["field"] == "answer"]
    assert "".join(each["text"] for each in tokens) == ANSWER
    assert len({each["predictor"] for each in tokens}) == 1
    assert {each["field"] for each in told if each["type"] == "field_done"} == {"reasoning", "answer", "sources"}


def test_events_of_seed_002_a_small_chat_tells_tokens_and_then_that_it_is_done(seeds: SeedService) -> None:
    """Events of seed 002: ``{"token"}`` alone, then ``{"done": true, "conversation_id"}``."""
    told = seeds.read("/chat/stream", {"message": "Are you done?", "user_id": "user_2"})

    assert [list(each) for each in told[:-1]] == [["token"]] * (len(told) - 1)
    assert "".join(each["token"] for each in told[:-1]) == ANSWER
    assert told[-1]["done"] is True
    assert told[-1]["conversation_id"].startswith("conv_")


def test_events_of_seed_003_a_chat_page_is_told_start_status_token_final_and_end(seeds: SeedService) -> None:
    """Events of seed 003."""
    told = seeds.read("/chat/stream", {"message": "Where does it end?", **FRESH})

    assert {"start", "status", "reasoning", "token", "final", "end"} == set(kinds(told))
    assert (kinds(told)[0], kinds(told)[-1]) == ("start", "end")
    assert joined(told, "token", "text") == joined(told, "final", "text") == ANSWER


@pytest.mark.slow
def test_b13_a_silent_model_is_bridged_by_a_ping_before_the_first_token(seeds: SeedService) -> None:
    """B13 of the seeds: every ten seconds."""
    told = seeds.read("/chat/stream", {"message": "Will you be quiet?", **FRESH})

    assert 0 < kinds(told).index("ping") < kinds(told).index("token")
    assert joined(told, "token", "text") == ANSWER


def test_b1_and_b11_tokens_arrive_while_the_model_still_writes(seeds: SeedService) -> None:
    """B1 and B11 of the seeds: and when the reader goes, the model is stopped."""
    body = {"message": "Please be slow, I watch.", **FRESH}
    with seeds.http.stream("POST", "/chat/stream", json=body) as answer:
        first = next(line for line in answer.iter_lines() if '"token"' in line)
        sent = seeds.asked("I watch").pieces_sent

    assert "word" in first
    assert sent < SLOW_PIECES // 2
    wait_until(lambda: seeds.asked("I watch").closed_at is not None, seconds=15)
    assert seeds.asked("I watch").pieces_sent < SLOW_PIECES
    run = f"/v1/runs/{answer.headers['x-run-id']}"
    wait_until(lambda: seeds.http.get(run).json()["status"] == "cancelled")


def test_b6_every_step_is_told_when_it_begins_and_ends(seeds: SeedService) -> None:
    """B6 of the seeds, for modules and models."""
    told = seeds.read("/chat/stream", {"message": "What are your steps?", **FRESH})

    steps = {(each["stage"], each["phase"]) for each in told if each["type"] == "status"}
    assert steps >= {("module", "start"), ("module", "end"), ("lm", "start"), ("lm", "end")}


def test_b8_every_request_streams_and_not_only_the_first(seeds: SeedService) -> None:
    """B8 of the seeds: nothing is shared between requests."""
    told = [seeds.read("/chat/stream", {"message": f"Time {count}?", **FRESH}) for count in range(3)]

    assert [joined(each, "token", "text") for each in told] == [ANSWER] * 3


def test_b9_a_cached_answer_streams_too(seeds: SeedService) -> None:
    """B9 of the seeds: tokens, and ``final``."""
    body = {"message": "Do you remember?"}
    seeds.read("/chat/stream", body)
    asked = len(seeds.provider.received)

    told = seeds.read("/chat/stream", body)

    final = next(each for each in told if each["type"] == "final")
    assert len(seeds.provider.received) == asked
    assert (final["cached"], final["text"], joined(told, "token", "text")) == (True, ANSWER, ANSWER)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/basic", {"question": "Who buffers?"}),
        ("/predict/stream", {"text": "Who buffers?"}),
        ("/v1/query", {"text": "Who buffers?"}),
        ("/chat/stream", {"message": "Who buffers?"}),
    ],
)
def test_b10_no_proxy_may_hold_a_stream_back(path: str, body: dict[str, str], seeds: SeedService) -> None:
    """B10 of the seeds."""
    with seeds.http.stream("POST", path, json=body) as answer:
        answer.read()

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in answer.headers["cache-control"]
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(
    ("path", "words", "last"),
    [
        ("/chat/basic", "question", ["error", "done", "[DONE]"]),
        ("/v1/query", "text", ["error", "[DONE]"]),
        ("/chat/stream", "question", ["error", "[DONE]"]),
        ("/chat/stream", "message", ["error", "end"]),
    ],
)
def test_b12_a_model_that_breaks_off_is_told_and_the_stream_closes_properly(
    path: str, words: str, last: list[str], seeds: SeedService
) -> None:
    """B12 of the seeds: what was written stays."""
    told = seeds.read(path, {words: f"Please break off, {path} {words}."})

    assert kinds(told)[-len(last) :] == last
    assert "token" in kinds(told)


def test_b12_a_small_chat_is_told_of_an_error_when_it_is_done(seeds: SeedService) -> None:
    """B12 of the seeds, in the form of 002, whose clients append whatever is not ``done``."""
    told = seeds.read("/chat/stream", {"message": "Please break off, small one.", "user_id": "user_2"})

    assert {name for each in told[:-1] for name in each} <= {"token"}
    assert told[-1]["done"] is True
    assert told[-1]["error"]["message"]


def test_b14_every_chunk_can_be_looked_up_afterwards(seeds: SeedService) -> None:
    """B14 of the seeds: each has a number and a time."""
    with seeds.http.stream("POST", "/chat/stream", json={"message": "Who writes this down?"}) as answer:
        answer.read()

    path = f"/v1/runs/{answer.headers['x-run-id']}/events"
    events = seeds.http.get(path, params={"limit": 1000}).json()["data"]

    tokens = [each for each in events if each["type"] == "token" and each["field"] == "answer"]
    assert "".join(each["text"] for each in tokens) == ANSWER
    assert [each["seq"] for each in events] == list(range(1, len(events) + 1))
    assert all(each["timestamp"] for each in events)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_b15_curl_shows_the_stream(seeds: SeedService) -> None:
    """B15 of the seeds: the command of 003 as it stands there."""
    command = ["curl", "-s", "-N", "-X", "POST", f"{seeds.url}/chat/stream", "--noproxy", "*"]
    sent = ["-H", "Content-Type: application/json", "-d", '{"message":"Hello"}']

    shown = subprocess.run([*command, *sent], capture_output=True, text=True, check=True, timeout=30).stdout  # noqa: S603  # curl

    told = [json.loads(line.removeprefix("data: ")) for line in shown.splitlines() if line.startswith("data: ")]
    assert joined(told, "token", "text") == ANSWER
    assert told[-1]["type"] == "end"
