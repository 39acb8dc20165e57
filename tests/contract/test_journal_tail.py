"""The newest answers of a job's models: numbered for ever, written by the holder of the fence alone."""

import asyncio

import pytest

from dspy_service.domain.errors import LeaseLostError
from tests.contract.job_backends import Backend, InMemory, OnRedis, running, submitted
from tests.support.job_samples import OUTCOME


def texts(start: int, end: int) -> list[str]:
    return [f'{{"answer": {n}}}\né \U0001f600' for n in range(start, end)]


class JournalTailContract:
    async def test_a_new_job_has_no_answers(self, backend: Backend) -> None:
        job = await submitted(backend.store)

        assert await backend.store.answers(job.job_id) == (0, [])
        assert await backend.store.answers("nobody") == (0, [])

    async def test_answers_are_numbered_from_nought_in_their_order(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id

        ends = [await backend.store.add_answers(job_id, fence=1, answers=texts(*span)) for span in ((0, 3), (3, 4))]

        assert ends == [3, 4]
        assert await backend.store.answers(job_id) == (4, texts(0, 4))

    async def test_dropped_answers_keep_their_numbers(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 5))

        await backend.store.drop_answers(job_id, fence=1, before=3)
        end = await backend.store.add_answers(job_id, fence=1, answers=texts(5, 6))

        assert end == 6
        assert await backend.store.answers(job_id) == (6, texts(3, 6))

    async def test_dropping_twice_drops_once(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 5))

        for before in (3, 3, 1, 0):
            await backend.store.drop_answers(job_id, fence=1, before=before)

        assert await backend.store.answers(job_id) == (5, texts(3, 5))

    async def test_the_numbers_go_on_when_all_were_dropped(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 2))

        await backend.store.drop_answers(job_id, fence=1, before=99)
        end = await backend.store.add_answers(job_id, fence=1, answers=texts(2, 3))

        assert end == 3
        assert await backend.store.answers(job_id) == (3, texts(2, 3))

    async def test_the_next_attempt_finds_the_answers_and_the_last_one_adds_no_more(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 2))
        await backend.store.release(job_id, fence=1)
        await backend.store.claim(job_id, owner="w2", lease_seconds=15, sandbox_level="L1")

        with pytest.raises(LeaseLostError):
            await backend.store.add_answers(job_id, fence=1, answers=["late"])
        with pytest.raises(LeaseLostError):
            await backend.store.drop_answers(job_id, fence=1, before=1)
        await backend.store.add_answers(job_id, fence=2, answers=texts(2, 3))

        assert await backend.store.answers(job_id) == (3, texts(0, 3))

    async def test_nobody_adds_to_a_job_that_waits_or_has_ended(self, backend: Backend) -> None:
        waiting = await submitted(backend.store)
        ended = await running(backend.store)
        await backend.store.finish(ended.job.job_id, fence=1, outcome=OUTCOME)

        for job_id, fence in ((waiting.job_id, 0), (ended.job.job_id, 1), ("nobody", 1)):
            with pytest.raises(LeaseLostError):
                await backend.store.add_answers(job_id, fence=fence, answers=["late"])
            with pytest.raises(LeaseLostError):
                await backend.store.drop_answers(job_id, fence=fence, before=1)

    async def test_adding_nothing_tells_where_the_end_is(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 2))

        assert await backend.store.add_answers(job_id, fence=1, answers=[]) == 2

    async def test_a_long_tail_is_read_whole(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 9000))
        await backend.store.drop_answers(job_id, fence=1, before=100)

        assert await backend.store.answers(job_id) == (9000, texts(100, 9000))

    async def test_a_reader_never_sees_a_gap_while_answers_come_and_go(self, backend: Backend) -> None:
        job_id = (await running(backend.store)).job.job_id
        await backend.store.add_answers(job_id, fence=1, answers=texts(0, 600))

        async def move_on() -> None:
            for n in range(600, 620):
                await backend.store.add_answers(job_id, fence=1, answers=texts(n, n + 1))
                await backend.store.drop_answers(job_id, fence=1, before=n - 590)

        _, *readings = await asyncio.gather(move_on(), *(backend.store.answers(job_id) for _ in range(5)))

        for end, found in readings:
            assert found == texts(end - len(found), end)


class TestJournalTailInMemory(InMemory, JournalTailContract):
    pass


class TestJournalTailOnRedis(OnRedis, JournalTailContract):
    pass
