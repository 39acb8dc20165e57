"""The demo engine behaves like a provider: it streams, waits, fails and counts tokens."""

import asyncio
from typing import Literal

import dspy
import pytest
from dspy.lm15 import (
    Config,
    LM15Error,
    Message,
    RateLimitError,
    Request,
    ServerError,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TimeoutError,  # noqa: A004 - lm15's own name
)

from workers.lm.demo.engine import AsyncDemoEngine, DemoEngine, StreamEvent
from workers.lm.demo.options import DemoOptions, FaultKind

CLOSED = dspy.Signature("ticket -> team", "Route the ticket.").with_updated_fields("team", type_=Literal["a", "b"])


def request(text: str = "where is my parcel", *, model: str = "demo/in-context", **config: object) -> Request:
    system, user = dspy.ChatAdapter().format(CLOSED, [], {"ticket": text})
    return Request(
        model=model,
        system=system["content"],
        messages=(Message.user(user["content"]),),
        config=Config(**config),
    )


def text_of(events: list[StreamEvent]) -> str:
    deltas = [event.delta for event in events if isinstance(event, StreamDeltaEvent)]
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def test_a_stream_says_what_complete_says() -> None:
    engine = DemoEngine()

    events = list(engine.stream(request()))

    whole = engine.complete(request())
    assert isinstance(events[0], StreamStartEvent)
    assert isinstance(events[-1], StreamEndEvent)
    assert len(events) > 4
    assert text_of(events) == whole.text
    assert events[-1].usage == whole.usage


def test_the_async_engine_says_what_the_sync_engine_says() -> None:
    engine = AsyncDemoEngine()

    async def both() -> tuple[str | None, list[StreamEvent]]:
        whole = await engine.complete(request())
        events = [event async for event in engine.stream(request())]
        await engine.aclose()
        return whole.text, events

    whole, events = asyncio.run(both())

    assert whole == text_of(events) == DemoEngine().complete(request()).text


def test_usage_counts_about_four_characters_per_token() -> None:
    asked = request()

    response = DemoEngine().complete(asked)

    assert response.usage.output_tokens == -(-len(response.text or "") // 4)
    assert (response.usage.input_tokens or 0) > len(str(asked.system)) // 4


def test_max_tokens_cuts_the_answer() -> None:
    response = DemoEngine().complete(request(max_tokens=3))

    assert len(response.text or "") == 12
    assert response.finish_reason == "length"


def test_a_stop_sequence_ends_the_answer() -> None:
    response = DemoEngine().complete(request(stop=("[[ ## completed",)))

    assert "completed" not in (response.text or "")
    assert response.finish_reason == "stop"


def test_latency_is_waited_for_once_per_call() -> None:
    waited: list[float] = []
    engine = DemoEngine(DemoOptions(latency_ms=50), sleep=waited.append)

    engine.complete(request())

    assert waited == [0.05]


def test_the_async_engine_waits_too() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    asyncio.run(AsyncDemoEngine(DemoOptions(latency_ms=20), sleep=sleep).complete(request()))

    assert waited == [0.02]


def test_lognormal_latency_spreads_around_its_median_and_repeats() -> None:
    def latencies() -> list[float]:
        waited: list[float] = []
        engine = DemoEngine(DemoOptions(latency_ms=100, latency_sigma=0.5), sleep=waited.append)
        for number in range(200):
            engine.complete(request(f"ticket {number}"))
        return waited

    waited = latencies()

    assert waited == latencies()
    assert 0.08 < sorted(waited)[100] < 0.125
    assert min(waited) < 0.06
    assert max(waited) > 0.2


def test_a_stream_is_paced_by_its_tokens_per_second() -> None:
    waited: list[float] = []
    engine = DemoEngine(DemoOptions(tokens_per_second=20), sleep=waited.append)

    events = list(engine.stream(request()))

    assert waited == [0.05] * sum(isinstance(event, StreamDeltaEvent) for event in events)


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        (FaultKind.RATE_LIMIT, RateLimitError, 429),
        (FaultKind.SERVER, ServerError, 500),
        (FaultKind.TIMEOUT, TimeoutError, None),
    ],
)
def test_a_fault_is_the_error_of_a_provider(kind: FaultKind, error: type[LM15Error], status: int | None) -> None:
    engine = DemoEngine(DemoOptions(fault_rate=1, fault_kinds=(kind,)))

    with pytest.raises(error) as completed:
        engine.complete(request())
    with pytest.raises(error):
        list(engine.stream(request()))

    assert completed.value.status == status


def test_dspy_retries_a_fault_and_gets_the_answer() -> None:
    engine = DemoEngine(DemoOptions(fault_rate=0.5, fault_kinds=(FaultKind.RATE_LIMIT,), retry_after_seconds=0.001))
    lm = dspy.LM("demo/in-context", engine=engine, cache=False, num_retries=12)

    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        answered = [dspy.Predict(CLOSED)(ticket=f"ticket {number}").team for number in range(12)]

    assert set(answered) <= {"a", "b"}


def test_faults_of_a_request_repeat_in_the_same_order() -> None:
    def outcomes(engine: DemoEngine) -> list[str]:
        seen = []
        for number in range(40):
            try:
                engine.complete(request(f"ticket {number % 10}"))
                seen.append("answered")
            except LM15Error as error:
                seen.append(str(error.code))
        return seen

    options = DemoOptions(fault_rate=0.4)

    first, second = outcomes(DemoEngine(options)), outcomes(DemoEngine(options))

    assert first == second
    assert len(set(first)) > 2
    assert outcomes(DemoEngine(DemoOptions(fault_rate=0.4, seed=9))) != first


def test_options_in_the_model_name_count() -> None:
    waited: list[float] = []
    engine = DemoEngine(sleep=waited.append)

    engine.complete(request(model="demo/in-context?latency_ms=7"))

    assert waited == [0.007]


def test_the_seed_of_a_request_varies_guesses_repeatably() -> None:
    engine = DemoEngine()

    by_seed = [[engine.complete(request("zz", seed=seed)).text for seed in range(12)] for _ in range(2)]

    assert by_seed[0] == by_seed[1]
    assert len(set(by_seed[0])) == 2
