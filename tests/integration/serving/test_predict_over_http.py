"""A deployed program is called over HTTP: a real API, a real serving worker, and a scripted model."""

import asyncio
import itertools
import random
import signal
from collections.abc import Iterator

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from dspy_service.client import Client
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import Api, api_process
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.processes import wait_until
from tests.support.serving_stage import serving_stage

WORDS = [f"word{number} " for number in range(120)]
QUICK = Reply(pieces=WORDS[:40], piece_seconds=0.005)
SLOW = Reply(pieces=WORDS, piece_seconds=0.05)
ANSWER = "".join(WORDS[:40]).strip()
GRACE_SECONDS = 2.0
QUESTION = {"question": "Why?"}
SLOWLY = {"inputs": {"question": "Be slow."}, "options": {"cache": "bypass"}}
PREDICT = "/v1/programs/qa/predict"


def _as_asked(body: dict[str, object]) -> Reply:
    return SLOW if "slow" in str(body["messages"]) else QUICK


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_as_asked) as server:
        yield server


@pytest.fixture(scope="module")
def http(provider: OpenAIServer) -> Iterator[httpx.Client]:
    """A client of an API that serves ``question -> answer`` as ``qa``, beside one worker."""
    with api_process(DISCONNECT_GRACE_SECONDS=str(GRACE_SECONDS)) as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            with httpx.Client(base_url=api.url, timeout=30, trust_env=False) as client:
                yield client
        finally:
            runner.run(opening.__aexit__(None, None, None))


def read(http: httpx.Client, path: str, body: object = QUESTION) -> list[ServerSentEvent]:
    with connect_sse(http, "POST", path, json=body) as source:
        assert source.response.status_code == 200, source.response.read()
        return [message for message in source.iter_sse() if message.data]


def status_of(http: httpx.Client, run_id: str) -> str:
    return str(http.get(f"/v1/runs/{run_id}").json()["status"])


def text_of(told: list[ServerSentEvent]) -> str:
    return "".join(message.json()["text"] for message in told if message.event == "token")


def test_a_prediction_is_answered_whole(http: httpx.Client) -> None:
    answer = http.post(PREDICT, json=QUESTION)

    assert answer.status_code == 200, answer.text
    assert answer.json()["prediction"] == {"answer": ANSWER}


def test_a_stream_tells_the_words_and_ends(http: httpx.Client) -> None:
    told = read(http, f"{PREDICT}/stream")

    assert text_of(told) == ANSWER
    assert [message.event for message in told][-2:] == ["final", "end"]
    assert [int(message.id) for message in told][-1] >= len(told)


def test_the_client_calls_and_reads_along(http: httpx.Client) -> None:
    with Client(str(http.base_url)) as client:
        whole = client.programs.predict("qa", QUESTION)
        events = list(client.programs.stream("qa", QUESTION, options={"cache": "bypass"}))

    assert whole.answer == ANSWER
    assert FieldTexts.of(event.fact for event in events).text("answer") == ANSWER


def test_a_broken_stream_is_resumed_without_loss(http: httpx.Client) -> None:
    body = {"inputs": {"question": "Why not?"}, "on_disconnect": "continue", "options": {"cache": "bypass"}}
    with connect_sse(http, "POST", f"{PREDICT}/stream", json=body) as source:
        before: list[ServerSentEvent] = []
        for message in source.iter_sse():
            if message.data:
                before.append(message)
            if message.event == "token":
                break
    run_id = before[0].json()["run_id"]

    headers = {"Accept": "text/event-stream", "Last-Event-ID": before[-1].id}
    with connect_sse(http, "GET", f"/v1/runs/{run_id}/events", headers=headers) as source:
        after = [message for message in source.iter_sse() if message.data]

    assert text_of(before + after) == ANSWER
    assert after[-1].event == "end"
    again = http.get(f"/v1/runs/{run_id}/events", headers=headers | {"Last-Event-ID": after[-1].id})
    assert again.status_code == 204


def test_a_reader_whose_connections_all_break_misses_nothing(http: httpx.Client) -> None:
    draw = random.Random(7)  # noqa: S311  # where connections break
    body = {**SLOWLY, "on_disconnect": "continue"}
    with connect_sse(http, "POST", f"{PREDICT}/stream", json=body) as source:
        told = [next(message for message in source.iter_sse() if message.data)]
    path = f"/v1/runs/{told[0].json()['run_id']}/events"

    while told[-1].event != "end":
        headers = {"Accept": "text/event-stream", "Last-Event-ID": told[-1].id}
        with connect_sse(http, "GET", path, headers=headers) as source:
            messages = (message for message in source.iter_sse() if message.data and message.event != "ping")
            told += itertools.islice(messages, draw.randint(1, 5))

    assert text_of(told) == "".join(WORDS).strip()
    assert [message.event for message in told][-2:] == ["final", "end"]
    assert sorted({int(message.id) for message in told}) == [int(message.id) for message in told]


def test_a_cancelled_run_ends_and_its_model_call_is_closed(http: httpx.Client, provider: OpenAIServer) -> None:
    kinds: list[str] = []
    with connect_sse(http, "POST", f"{PREDICT}/stream", json=SLOWLY) as source:
        for message in source.iter_sse():
            kinds += [message.event] if message.data else []
            if message.event == "token" and kinds.count("token") == 1:
                run_id = message.json()["run_id"]
                assert http.post(f"/v1/runs/{run_id}/cancel").status_code == 202

    assert kinds[-2:] == ["cancelled", "end"]
    wait_until(lambda: provider.received[-1].closed_at is not None, seconds=5)


def test_a_run_ends_some_time_after_its_only_reader_has_gone(http: httpx.Client) -> None:
    with connect_sse(http, "POST", f"{PREDICT}/stream", json=SLOWLY) as source:
        run_id = next(message for message in source.iter_sse() if message.data).json()["run_id"]

    wait_until(lambda: status_of(http, run_id) == "cancelled", seconds=20)

    assert http.get(f"/v1/runs/{run_id}").json()["cancel_reason"] == "disconnected"


def test_a_run_ends_some_time_after_a_caller_who_waited_has_gone(http: httpx.Client, provider: OpenAIServer) -> None:
    before = len(provider.received)

    with pytest.raises(httpx.ReadTimeout):
        http.post(PREDICT, json=SLOWLY, timeout=1.0)

    wait_until(lambda: provider.received[before].closed_at is not None, seconds=20)


def test_a_run_that_is_read_goes_on_beyond_the_grace(http: httpx.Client) -> None:
    with connect_sse(http, "POST", f"{PREDICT}/stream", json=SLOWLY) as source:
        texts = [message.json()["text"] for message in source.iter_sse() if message.event == "token"]

    assert "".join(texts) == "".join(WORDS).strip()


def test_a_stream_ends_when_its_api_is_told_to_stop() -> None:
    with api_process() as api, asyncio.Runner() as runner:
        runner.run(_deploy(api))
        with (
            httpx.Client(base_url=api.url, timeout=30, trust_env=False) as http,
            connect_sse(http, "POST", f"{PREDICT}/stream", json=QUESTION) as source,
        ):
            messages = source.iter_sse()
            started = next(message for message in messages if message.data)
            api.program.process.send_signal(signal.SIGTERM)
            rest = [message.event for message in messages]

        assert started.event == "start"
        assert "end" not in rest
        assert api.program.process.wait(10) == -signal.SIGTERM


async def _deploy(api: Api) -> None:
    async with serving_stage(api.store.url, api.folder) as stage:
        await stage.deploy(ModelSettings(name="demo/in-context"))
