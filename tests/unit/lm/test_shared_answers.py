"""Answers that a tenant's jobs share."""

import asyncio

import pytest
from dspy.lm15 import InvalidRequestError, Request, Response

from dspy_service.adapters.memory.cache import MemoryResponseCache
from dspy_service.domain.budget import Budget
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.frames import MAX_FRAME_BYTES
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import FaultyArtifacts, eventually, open_journal
from tests.support.lm_calls import Answers, ScriptedEngine, broker, entry, lm_frame, response
from workers.lm.answering import SharedAnswers
from workers.lm.broker import Broker


async def _echo(asked: Request) -> Response:
    return response(f"answer to {asked.messages[0].text}")


def _cache() -> MemoryResponseCache:
    return MemoryResponseCache(max_bytes=1 << 20, unused_seconds=1000)


async def _asked(door: Broker, text: str = "hello") -> Answers:
    answers = Answers()
    door.ask(lm_frame(1, text), answers)
    await answers.wait(1)
    return answers


async def test_an_equal_call_of_a_later_job_is_free() -> None:
    cache, first, second = _cache(), ScriptedEngine(_echo), ScriptedEngine(_echo)
    await _asked(broker(first, shared=SharedAnswers(cache, "a")))
    await eventually(lambda: cache._answers["a"])

    door = broker(second, shared=SharedAnswers(cache, "a"))
    answers = await _asked(door)

    assert answers.text(1) == "answer to hello"
    assert second.requests == []
    usage = door.usage()
    assert (usage.total_calls, usage.total_tokens, usage.cost_usd) == (0, 0, None)
    assert (usage.roles["task"].shared_cache_calls, usage.cache_hit_rate) == (1, 1.0)


async def test_nothing_is_shared_with_another_tenant() -> None:
    cache, engine = _cache(), ScriptedEngine(_echo)
    await _asked(broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a")))
    await eventually(lambda: cache._answers["a"])

    await _asked(broker(engine, shared=SharedAnswers(cache, "b")))

    assert len(engine.requests) == 1


async def test_a_shared_answer_is_journalled_so_that_a_replay_gives_the_same() -> None:
    cache, artifacts = _cache(), FaultyArtifacts()
    jobs, claim = await claimed()
    await _asked(broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a")))
    await eventually(lambda: cache._answers["a"])

    journal = await open_journal(claim, jobs, artifacts)
    door = broker(ScriptedEngine(_echo), journal=journal, shared=SharedAnswers(cache, "a"))
    await _asked(door)
    kept = (await jobs.answers(JOB_ID))[1]
    await door.aclose()

    assert len(kept) == 1
    assert '"cache"' in kept[0]


async def test_a_shared_answer_needs_no_budget() -> None:
    cache = _cache()
    await _asked(broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a")))
    await eventually(lambda: cache._answers["a"])
    door = broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a"), budget=Budget(max_lm_calls=1))
    await _asked(door, "another")

    answers = await _asked(door)
    refused = await _asked(door, "a third")

    assert answers.text(1) == "answer to hello"
    assert refused.kind(1) == "budget_exhausted"


async def test_what_a_cache_gave_is_not_left_there_again() -> None:
    class Counting(MemoryResponseCache):
        kept = 0

        async def keep(self, tenant: str, key: str, answer: str) -> None:
            self.kept += 1
            await super().keep(tenant, key, answer)

    cache = Counting(max_bytes=1 << 20, unused_seconds=1000)
    await _asked(broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a")))
    await eventually(lambda: cache.kept == 1)

    door = broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a"))
    await _asked(door)
    await door.aclose()

    assert cache.kept == 1


@pytest.mark.parametrize("outcome", [InvalidRequestError("no"), response("x" * MAX_FRAME_BYTES)], ids=["error", "huge"])
async def test_errors_are_not_shared(outcome: object) -> None:
    cache = _cache()

    async def bad(_request: Request) -> Response:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    door = broker(ScriptedEngine(bad), shared=SharedAnswers(cache, "a"))
    await _asked(door)
    await door.aclose()

    assert not cache._answers["a"]


async def test_a_cache_that_is_away_costs_a_call_and_nothing_else() -> None:
    class Away(MemoryResponseCache):
        async def find(self, tenant: str, key: str) -> str | None:
            raise StoreUnavailableError(tenant + key)

        async def keep(self, tenant: str, key: str, answer: str) -> None:
            raise StoreUnavailableError(tenant + key + answer)

    engine = ScriptedEngine(_echo)
    door = broker(engine, shared=SharedAnswers(Away(max_bytes=1, unused_seconds=1), "a"))

    answers = await _asked(door)
    await door.aclose()

    assert answers.text(1) == "answer to hello"
    assert len(engine.requests) == 1


async def test_a_cache_that_never_answers_does_not_hold_up_the_end() -> None:
    class Silent(MemoryResponseCache):
        asked = False

        async def keep(self, _tenant: str, _key: str, _answer: str) -> None:
            self.asked = True
            await asyncio.Event().wait()

    cache = Silent(max_bytes=1, unused_seconds=1)
    door = broker(ScriptedEngine(_echo), shared=SharedAnswers(cache, "a"))
    answers = await _asked(door)
    await eventually(lambda: cache.asked)

    await asyncio.wait_for(door.aclose(), 5)

    assert answers.text(1) == "answer to hello"


@pytest.mark.parametrize(
    "text",
    [
        "no entry",
        entry(1).text().decode(),
        "[2" + entry(1).text().decode()[2:],
    ],
    ids=["garbage", "another key", "newer release"],
)
async def test_what_cannot_be_used_is_as_good_as_nothing(text: str) -> None:
    class Odd(MemoryResponseCache):
        async def find(self, _tenant: str, _key: str) -> str | None:
            return text

    engine = ScriptedEngine(_echo)

    answers = await _asked(broker(engine, shared=SharedAnswers(Odd(max_bytes=1, unused_seconds=1), "a")))

    assert answers.text(1) == "answer to hello"
    assert len(engine.requests) == 1
