"""The broker against a real OpenAI-compatible server on loopback."""

import asyncio
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import Answers, lm_frame, opened, request, spec
from tests.support.openai_server import OpenAIServer, Reply, always, error, in_order
from workers.lm.broker import Broker
from workers.lm.engine import CallLimits
from workers.lm.environment import read_provider_environment
from workers.lm.native import PLACEHOLDER_KEY
from workers.lm.registry import ModelRegistry
from workers.lm.retry import RetryPolicy

CANARY = "sk-canary-0123456789"
_QUICK = RetryPolicy(max_attempts=3, max_total_seconds=5, first_delay_seconds=0.01)


async def _broker(
    server: OpenAIServer,
    *,
    name: str = "openai/test",
    limits: CallLimits | None = None,
    environ: dict[str, str] | None = None,
) -> Broker:
    registry = ModelRegistry(read_provider_environment({"OPENAI_API_KEY": CANARY} if environ is None else environ))
    job = spec(ModelSettings(name=name, base_url=server.base_url))
    return await opened(job, registry, limits or CallLimits(retry=_QUICK))


async def _ask(door: Broker, count: int = 1, **fields: object) -> Answers:
    answers = Answers()
    for number in range(count):
        door.ask(lm_frame(number, f"question {number}", **fields), answers)
    await answers.wait(count)
    await door.aclose()
    return answers


async def test_an_answer_comes_back_with_exact_usage() -> None:
    with OpenAIServer(lambda _body: Reply("42", prompt_tokens=11, completion_tokens=4)) as server:
        door = await _broker(server)
        answers = await _ask(door, 25)

    usage = door.usage().roles["task"]
    assert {answers.text(number) for number in range(25)} == {"42"}
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (25, 275, 100)
    assert len(server.received) == 25
    assert usage.cost_usd is None


async def test_the_request_arrives_as_it_was_asked() -> None:
    with OpenAIServer(always("ok")) as server:
        await _ask(await _broker(server), request=request("hi", temperature=0.25, max_tokens=77, stop=["END"]))

    body = server.received[0].body
    assert server.received[0].path == "/v1/chat/completions"
    assert body["model"] == "test"
    assert body["temperature"] == 0.25
    assert 77 in {body.get("max_tokens"), body.get("max_completion_tokens")}
    assert "END" in body["stop"]


async def test_a_clients_base_url_gets_a_placeholder_and_never_the_operators_key() -> None:
    with OpenAIServer(always("ok")) as server:
        await _ask(await _broker(server))

    assert server.received[0].authorization == f"Bearer {PLACEHOLDER_KEY}"
    assert CANARY not in repr(server.received)


async def test_an_operators_key_goes_to_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only test that moves a provider: its address is lm15's own, so it is set where lm15 keeps it."""
    from dspy._vendor.lm15.providers import async_base  # noqa: PLC0415  # private: nothing else here may use it

    with OpenAIServer(always("ok")) as server:
        monkeypatch.setattr(async_base.AsyncOpenAIChatLM, "__post_init__", _moved_to(server, async_base))
        job = spec(ModelSettings(name="openai/test"))
        registry = ModelRegistry(read_provider_environment({"OPENAI_API_KEY": CANARY}))
        await _ask(await opened(job, registry, CallLimits(retry=_QUICK)))

    assert server.received[0].authorization == f"Bearer {CANARY}"


def _moved_to(server: OpenAIServer, async_base: ModuleType) -> Callable[[object], None]:
    original = async_base.AsyncOpenAIChatLM.__post_init__

    def moved(self: Any) -> None:  # noqa: ANN401  # an untyped adapter
        self.base_url = server.base_url
        original(self)

    return moved


async def test_a_rate_limit_is_waited_out() -> None:
    with OpenAIServer(in_order(error(429, retry_after="0.05"), error(429, retry_after="0.05"), Reply("ok"))) as server:
        door = await _broker(server)
        answers = await _ask(door)

    assert answers.text(0) == "ok"
    assert len(server.received) == 3
    assert door.usage().roles["task"].calls == 1


async def test_a_failing_server_is_given_up_with_its_words() -> None:
    with OpenAIServer(in_order(error(500, message="on fire"))) as server:
        door = await _broker(server)
        answers = await _ask(door)

    assert answers.kind(0) == "server"
    assert "on fire" in answers.frames[0]["error"]["message"]
    assert len(server.received) == 3
    assert door.usage().roles["task"].failed_calls == 1


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b'{"choices": [{"mess'])
async def test_a_page_of_a_gateway_instead_of_an_answer_is_asked_again(body: bytes) -> None:
    with OpenAIServer(in_order(Reply(raw=body), Reply("ok"))) as server:
        answers = await _ask(await _broker(server))

    assert answers.text(0) == "ok"
    assert len(server.received) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401), "auth"),
        (error(400), "invalid_request"),
        (error(404, code="model_not_found"), "unsupported_model"),
        (error(400, code="context_length_exceeded"), "context_window_exceeded"),
        (Reply(raw=b"this is not JSON"), "transport"),
        (error(418), "provider"),
        (Reply(hang_up=True), "transport"),
    ],
)
async def test_every_kind_of_failure_has_its_word(reply: Reply, kind: object) -> None:
    with OpenAIServer(in_order(reply)) as server:
        answers = await _ask(await _broker(server))

    assert answers.kind(0) == kind


async def test_a_slow_server_is_a_timeout() -> None:
    limits = CallLimits(timeout_seconds=0.1, retry=RetryPolicy(max_attempts=1))
    with OpenAIServer(always("late", delay_seconds=30)) as server:
        answers = await _ask(await _broker(server, limits=limits))

    assert answers.kind(0) == "timeout"


async def test_nobody_listening_is_a_transport_error() -> None:
    with OpenAIServer(always("x")) as server:
        pass

    answers = await _ask(await _broker(server))

    assert answers.kind(0) == "transport"


async def test_calls_run_side_by_side_up_to_the_limit() -> None:
    with OpenAIServer(always("ok", delay_seconds=0.05)) as server:
        await _ask(await _broker(server, limits=CallLimits(max_in_flight=6)), 24)

    assert server.peak_in_flight == 6


async def test_closing_the_door_hangs_up_on_the_provider() -> None:
    with OpenAIServer(always("late", delay_seconds=30)) as server:
        door = await _broker(server)
        door.ask(lm_frame(1), Answers())
        async with asyncio.timeout(5):
            while not server.received:  # noqa: ASYNC110  # the server is on another thread
                await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            await door.aclose()

    assert door.usage().total_calls == 0


async def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    with OpenAIServer(always("x" * 3_000_000)) as server:
        registry = ModelRegistry(read_provider_environment({}), max_answer_bytes=100_000)
        job = spec(ModelSettings(name="openai/test", base_url=server.base_url))
        door = await opened(job, registry, CallLimits(retry=_QUICK))
        answers = await _ask(door)

    assert answers.kind(0) == "provider"
    assert "100000 bytes" in answers.frames[0]["error"]["message"]
    assert len(server.received) == 1


async def test_an_error_page_that_is_too_large_is_not_read_to_its_end() -> None:
    with OpenAIServer(lambda _body: Reply(status=400, raw=b"y" * 3_000_000)) as server:
        registry = ModelRegistry(read_provider_environment({}), max_answer_bytes=100_000)
        job = spec(ModelSettings(name="openai/test", base_url=server.base_url))
        answers = await _ask(await opened(job, registry, CallLimits(retry=_QUICK)))

    assert "100000 bytes" in answers.frames[0]["error"]["message"]


async def test_a_connection_serves_the_next_answer_after_one_within_the_cap() -> None:
    with OpenAIServer(always("x" * 1000)) as server:
        registry = ModelRegistry(read_provider_environment({}), max_answer_bytes=100_000)
        job = spec(ModelSettings(name="openai/test", base_url=server.base_url))
        answers = await _ask(await opened(job, registry, CallLimits(retry=_QUICK)), 20)

    assert {answers.text(number) for number in range(20)} == {"x" * 1000}
