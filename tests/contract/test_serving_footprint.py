"""What serving leaves in Redis: nothing grows for ever but what somebody may still ask for."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.conversations import RedisConversationStore
from dspy_service.adapters.redis.programs import RedisProgramStore
from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.domain.result import Usage
from dspy_service.domain.serving.conversation import Feedback
from dspy_service.domain.serving.run import MultitaskStrategy, Run
from tests.support.conversation_samples import a_new_conversation, a_question, a_reply, an_answer
from tests.support.run_samples import COMPLETED, a_new_run, a_token, queued, started, taken, the_final
from tests.support.served_programs import a_new_version

KEPT = {"{dspy}:runs:served", "{dspy}:runs:submitted", "{dspy}:runs:totals"}
"""Of a size that does not depend on how much was served: tenants of the last day, and counters."""


@pytest.fixture
async def runs(redis_url: str) -> AsyncIterator[RedisRunStore]:
    store = RedisRunStore(redis_url)
    yield store
    await store.aclose()


@pytest.fixture
async def conversations(redis_url: str) -> AsyncIterator[RedisConversationStore]:
    store = RedisConversationStore(redis_url)
    yield store
    await store.aclose()


@pytest.fixture
async def programs(redis_url: str) -> AsyncIterator[RedisProgramStore]:
    store = RedisProgramStore(redis_url)
    yield store
    await store.aclose()


async def keys_that_stay(raw: redis.Redis) -> set[str]:
    """Return the keys without an expiry."""
    return {key for key in await raw.keys() if await raw.ttl(key) < 0}


async def ended_in_every_way(runs: RedisRunStore, *, key: str | None) -> None:
    """Run one to its end, and let others be cancelled in the queue, lost, given back, or rolled back."""

    async def queue(number: int, multitask: MultitaskStrategy = "enqueue") -> Run:
        new = a_new_run(conversation_id="c1", key=key and f"{key}{number}", on_disconnect="cancel")
        run, _ = await runs.create(new, start=started(new), multitask=multitask)
        return run

    done = await taken(runs, await queue(1))
    await runs.append(done.run_id, fence=1, facts=[a_token("x")], batch=1)
    outcome = COMPLETED.model_copy(update={"usage": Usage(total_tokens=3)})
    await runs.finish(done.run_id, fence=1, outcome=outcome, facts=[the_final("x")])
    await runs.cancel((await queue(2)).run_id, reason="asked")
    lost = await taken(runs, await queue(3), owner="dead")
    await runs.append(lost.run_id, fence=1, facts=[a_token("x")], batch=1)
    await runs.lose(["dead"])
    returned = await taken(runs, await queue(4))
    await runs.release(returned.run_id, fence=1)
    await queue(5)
    last = await queue(6, "rollback")
    again = await taken(runs, last)
    await runs.cancel(last.run_id, reason="asked")
    await runs.release(again.run_id, fence=1)
    while await runs.reap(lease_seconds=0):
        pass


@pytest.mark.parametrize("key", [None, "k"])
async def test_runs_that_ended_leave_nothing_that_stays(
    runs: RedisRunStore, raw_redis: redis.Redis, key: str | None
) -> None:
    await ended_in_every_way(runs, key=key)

    assert await runs.next_run() is None
    assert await keys_that_stay(raw_redis) == KEPT


async def test_runs_that_are_deleted_leave_what_they_cost(runs: RedisRunStore, raw_redis: redis.Redis) -> None:
    run = await taken(runs, await queued(runs, a_new_run(key="k")))
    await runs.append(run.run_id, fence=1, facts=[a_token("x")] * 300, batch=1)
    await runs.finish(run.run_id, fence=1, outcome=COMPLETED, facts=[the_final("x")])

    await runs.delete(run.run_id)

    left = set(await raw_redis.keys()) - KEPT
    assert {key for key in left if not key.startswith("{dspy}:runs:usage:local:")} == {"{dspy}:runs:idem:local:k"}
    assert await keys_that_stay(raw_redis) == KEPT


async def test_what_is_deleted_leaves_nothing_that_stays(
    conversations: RedisConversationStore, programs: RedisProgramStore, raw_redis: redis.Redis
) -> None:
    await conversations.create(a_new_conversation(owner="ann"))
    await conversations.add("local", [a_question(1), a_reply(1)])
    await conversations.answer("local", "conv_1", "a1", an_answer(1))
    await conversations.rate("local", "conv_1", "a1", Feedback(rating="up"))
    await conversations.add("local", [a_question(2), a_reply(2)])
    await programs.add_version(a_new_version(digest="a"), idempotency_key="k")
    await programs.add_version(a_new_version(digest="b"))
    await programs.move_alias("local", "answers", "beta", version=2)
    told = await programs.leave("local", "answers", "c" * 64, unnamed_seconds=0)

    await conversations.delete("local", "conv_1")
    await programs.delete_alias("local", "answers", "beta")
    await programs.delete("local", "answers")
    await programs.forget_left("local", "answers", "c" * 64, told=told or "")

    assert await keys_that_stay(raw_redis) == set()
