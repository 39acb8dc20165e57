"""Cached answers of a tenant: never in the way of a run."""

import asyncio

from dspy.lm15 import Message, Request, TextPart

from dspy_service.adapters.memory import MemoryResponseCache
from dspy_service.domain.errors import StoreUnavailableError
from tests.support.lm_calls import response
from workers.lm.engine import Answered
from workers.lm.token_count import TokenCount
from workers.serving.answer_cache import AnswerCache, entry_of, key_of

_REQUEST = Request(model="wire", messages=(Message.user("hi"),))
_KEY = key_of("model", _REQUEST, None, 0)


def _answered(text: str) -> Answered:
    return Answered(response(text), TokenCount(3, 2, is_estimated=False), 0.5)


def _store() -> MemoryResponseCache:
    return MemoryResponseCache(max_bytes=1 << 20, unused_seconds=60)


class Away(MemoryResponseCache):
    """A store that is away."""

    def __init__(self) -> None:
        super().__init__(max_bytes=1 << 20, unused_seconds=60)

    async def find(self, tenant: str, key: str) -> str | None:  # noqa: ARG002  # the port's
        raise StoreUnavailableError("away")

    async def keep(self, tenant: str, key: str, answer: str, *, replace: bool = False) -> None:  # noqa: ARG002  # the same
        raise StoreUnavailableError("away")


def test_samples_of_an_equal_request_have_keys_of_their_own() -> None:
    keys = [key_of("model", _REQUEST, rollout, candidate) for rollout, candidate in ((None, 0), (None, 1), (7, 0))]

    assert len(set(keys)) == 3
    assert key_of("other", _REQUEST, None, 0) not in keys


async def test_an_answer_comes_back_as_it_was_given() -> None:
    cache = AnswerCache(_store())

    cache.keep("acme", entry_of(_KEY, "model", _answered("Zażółć 🦊")))
    await cache.kept()
    found = await cache.find("acme", _KEY)

    assert found is not None
    assert found.response.message.parts == (TextPart("Zażółć 🦊"),)
    assert (found.entry.prompt_tokens, found.entry.completion_tokens, found.entry.cost_usd) == (3, 2, 0.5)
    assert await cache.find("other", _KEY) is None


async def test_a_store_that_is_away_is_a_miss_and_no_failure() -> None:
    cache = AnswerCache(Away())

    cache.keep("acme", entry_of(_KEY, "model", _answered("x")))
    await cache.kept()

    assert await cache.find("acme", _KEY) is None


async def test_what_is_no_answer_to_the_call_is_a_miss() -> None:
    store = _store()
    other = entry_of("f" * 64, "model", _answered("x")).text().decode()
    await store.keep("acme", _KEY, "garbage")
    await store.keep("acme", "f" * 63 + "0", other)

    cache = AnswerCache(store)

    assert await cache.find("acme", _KEY) is None
    assert await cache.find("acme", "f" * 63 + "0") is None


async def test_a_run_does_not_wait_until_its_answer_is_kept() -> None:
    may_keep = asyncio.Event()

    class Slow(MemoryResponseCache):
        async def keep(self, tenant: str, key: str, answer: str, *, replace: bool = False) -> None:
            await may_keep.wait()
            await super().keep(tenant, key, answer, replace=replace)

    cache = AnswerCache(Slow(max_bytes=1 << 20, unused_seconds=60))

    cache.keep("acme", entry_of(_KEY, "model", _answered("x")))
    before = await cache.find("acme", _KEY)
    may_keep.set()
    await cache.kept()

    assert before is None
    assert await cache.find("acme", _KEY) is not None
