"""The first tokens go out at once, later ones in small batches, and nothing is lost or reordered."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.serving.run_events import RunFact, StatusNoted, TokenWritten
from workers.serving.batches import BATCH_TOKENS, FIRST_TOKENS, FactBuffer

NEVER = 3_600.0
STATUS = StatusNoted(stage="lm", phase="start", name="lm", message="Asking.")


def a_token(text: str, offset: int = 0, *, field: str = "answer") -> TokenWritten:
    return TokenWritten(field=field, predictor="self", text=text, offset=offset)


async def a_buffer_past_the_first_tokens() -> FactBuffer:
    buffer = FactBuffer(batch_seconds=NEVER)
    for number in range(FIRST_TOKENS):
        buffer.put([a_token("x", number)])
        await buffer.take()
    return buffer


async def test_each_of_the_first_tokens_is_due_at_once() -> None:
    buffer = FactBuffer(batch_seconds=NEVER)

    for number in range(FIRST_TOKENS):
        buffer.put([a_token("x", number)])

        assert await asyncio.wait_for(buffer.take(), 1.0) == [a_token("x", number)]


async def test_later_tokens_wait_until_there_are_enough_and_become_one_event() -> None:
    buffer = await a_buffer_past_the_first_tokens()
    taking = asyncio.ensure_future(buffer.take())

    for number in range(BATCH_TOKENS - 1):
        buffer.put([a_token("y", FIRST_TOKENS + number)])
        await asyncio.sleep(0)
    waited = not taking.done()
    buffer.put([a_token("z", FIRST_TOKENS + BATCH_TOKENS - 1)])

    assert waited
    assert await taking == [a_token("y" * (BATCH_TOKENS - 1) + "z", FIRST_TOKENS)]


async def test_what_waits_alone_goes_out_when_its_time_is_over() -> None:
    buffer = FactBuffer(batch_seconds=0.001)
    buffer.put([STATUS])

    assert await asyncio.wait_for(buffer.take(), 5.0) == [STATUS]


async def test_a_waiting_status_goes_out_with_the_first_token() -> None:
    buffer = FactBuffer(batch_seconds=NEVER)
    taking = asyncio.ensure_future(buffer.take())
    buffer.put([STATUS])
    await asyncio.sleep(0)
    waited = not taking.done()

    buffer.put([a_token("x")])

    assert waited
    assert await taking == [STATUS, a_token("x")]


async def test_a_closed_buffer_gives_no_batch_and_keeps_the_rest() -> None:
    buffer = FactBuffer(batch_seconds=NEVER)
    taking = asyncio.ensure_future(buffer.take())
    buffer.put([STATUS])

    buffer.close()

    assert await taking == []
    assert buffer.rest() == [STATUS]
    assert buffer.rest() == []


async def test_texts_of_different_fields_or_with_a_gap_stay_apart() -> None:
    buffer = FactBuffer(batch_seconds=NEVER)
    facts = [a_token("a", 0), a_token("b", 0, field="reasoning"), a_token("c", 1, field="reasoning"), a_token("d", 7)]

    buffer.put(facts)

    assert await buffer.take() == [facts[0], a_token("bc", 0, field="reasoning"), facts[3]]


@given(st.lists(st.lists(st.sampled_from(["ab", "c", "é𝄞", None]), max_size=4), max_size=30))
def test_the_text_that_comes_out_is_the_text_that_went_in(puts: list[list[str | None]]) -> None:
    assert asyncio.run(_passed_through(puts)) == "".join(text or "|" for texts in puts for text in texts)


async def _passed_through(puts: list[list[str | None]]) -> str:
    buffer, facts, offset = FactBuffer(batch_seconds=0.0), [], 0
    taking = asyncio.ensure_future(_take_all(buffer, facts))
    for texts in puts:
        put: list[RunFact] = []
        for text in texts:
            put.append(STATUS if text is None else a_token(text, offset))
            offset += len(text or "")
        buffer.put(put)
        await asyncio.sleep(0)
    buffer.close()
    await taking
    return "".join(fact.text if isinstance(fact, TokenWritten) else "|" for fact in [*facts, *buffer.rest()])


async def _take_all(buffer: FactBuffer, facts: list[RunFact]) -> None:
    while batch := await buffer.take():
        facts += batch
