"""A pinned value is the first one, whoever comes later."""

import asyncio

from tests.contract.job_backends import Backend, InMemory, OnRedis


class PinContract:
    async def test_the_first_value_stands(self, backend: Backend) -> None:
        answers = [await backend.store.pin("name", value) for value in ("first", "second", "first")]

        assert answers == ["first"] * 3
        assert await backend.store.pin("other", "second") == "second"

    async def test_racing_writers_agree(self, backend: Backend) -> None:
        answers = await asyncio.gather(*(backend.store.pin("name", str(n)) for n in range(20)))

        assert len(set(answers)) == 1


class TestPinsInMemory(InMemory, PinContract):
    pass


class TestPinsOnRedis(OnRedis, PinContract):
    pass
