"""Answers on their way from a journal's tail to the artifact store."""

import asyncio

import pytest

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.job import Claim
from dspy_service.domain.journal_segment import SEGMENT_BYTES, SegmentHead, decode_segment, head_at
from tests.support.claims import JOB_ID, claimed, take_over
from tests.support.journals import KEY, Fault, FaultyArtifacts, FaultyTail, all_has_run, eventually
from workers.lm.segment_writer import BACKLOG_BYTES, SegmentWriter

_NEVER = 3600.0


class Bench:
    """A segment writer between a tail and a folder, fed as the tail writer would."""

    def __init__(self, jobs: MemoryJobStore, claim: Claim, *, period_seconds: float) -> None:
        self.jobs = jobs
        self.tail = FaultyTail(jobs)
        self.artifacts = FaultyArtifacts()
        self.fence = claim.fence
        head = SegmentHead(tenant="local", job_id=JOB_ID, fence=claim.fence, number=0)
        self.writer = SegmentWriter(
            head, tail=self.tail, artifacts=self.artifacts, secret_key=KEY, period_seconds=period_seconds
        )
        self.running = asyncio.create_task(self.writer.run())

    async def add(self, *texts: str) -> None:
        end = await self.jobs.add_answers(JOB_ID, fence=self.fence, answers=texts)
        self.writer.add([text.encode() for text in texts], end=end)

    def segments(self) -> list[list[str]]:
        """The texts of each segment; each entry of these tests is two lines."""
        heads = {path: head_at(path, tenant="local", job_id=JOB_ID) for path in sorted(self.artifacts.files)}
        return [
            [text.decode() for text in decode_segment(self.artifacts.files[path], head, key=KEY)]
            for path, head in heads.items()
        ]

    async def closed(self) -> None:
        self.writer.close()
        await asyncio.wait_for(self.running, 5)


async def _bench(*, period_seconds: float = _NEVER) -> Bench:
    return Bench(*await claimed(), period_seconds=period_seconds)


async def test_a_closed_writer_has_stored_everything_and_left_the_tail_empty() -> None:
    bench = await _bench()
    await bench.add("1\na", "2\nb")
    await bench.add("3\nc")

    await bench.closed()

    assert bench.segments() == [["1\na", "2\nb", "3\nc"]]
    assert await bench.tail.texts() == []


async def test_what_waits_is_stored_after_the_period() -> None:
    bench = await _bench(period_seconds=0.01)

    await bench.add("1\na")
    await eventually(lambda: bench.segments() == [["1\na"]])
    await bench.add("2\nb")
    await eventually(lambda: bench.segments() == [["1\na"], ["2\nb"]])

    await bench.closed()


async def test_a_mebibyte_is_stored_at_once() -> None:
    bench = await _bench()
    large = "1\n" + "x" * SEGMENT_BYTES

    await bench.add(large)
    await eventually(lambda: bench.segments() == [[large]])

    await bench.closed()


async def test_a_backlog_is_stored_in_pieces() -> None:
    bench = await _bench()
    bench.artifacts.faults.coming.extend([Fault.AWAY])
    texts = [f"{number}\n" + "x" * 700_000 for number in range(5)]
    for text in texts:
        await bench.add(text)

    await bench.closed()

    assert [len(segment) for segment in bench.segments()] == [2, 2, 1]
    assert [text for segment in bench.segments() for text in segment] == texts
    assert await bench.tail.texts() == []


async def test_a_long_tail_of_an_earlier_attempt_is_stored_in_pieces_and_dropped() -> None:
    bench = await _bench()
    texts = [f"{number}\n" + "x" * 700_000 for number in range(3)]
    end = await bench.jobs.add_answers(JOB_ID, fence=bench.fence, answers=["0\nstored already", *texts])

    bench.writer.take_over([text.encode() for text in texts], end=end)
    await bench.closed()

    assert bench.segments() == [texts[:2], texts[2:]]
    assert await bench.tail.texts() == []


async def test_nothing_leaves_the_tail_before_it_is_stored() -> None:
    bench = await _bench(period_seconds=0.01)
    bench.artifacts.faults.is_away = True
    await bench.add("1\na")
    await bench.add("2\nb")
    await all_has_run()

    during = await bench.tail.texts()
    bench.artifacts.faults.is_away = False
    await bench.closed()

    assert during == ["1\na", "2\nb"]
    assert [text for segment in bench.segments() for text in segment] == ["1\na", "2\nb"]
    assert await bench.tail.texts() == []


async def test_a_segment_whose_reply_was_lost_is_written_again_under_another_number() -> None:
    bench = await _bench()
    bench.artifacts.faults.coming.append(Fault.REPLY_LOST)
    await bench.add("1\na")

    await bench.closed()

    assert bench.segments() == [["1\na"], ["1\na"]]
    assert await bench.tail.texts() == []


@pytest.mark.parametrize("fault", [Fault.AWAY, Fault.REPLY_LOST])
async def test_a_tail_that_does_not_answer_is_asked_again(fault: Fault) -> None:
    bench = await _bench()
    bench.tail.faults.coming.append(fault)
    await bench.add("1\na")

    await bench.closed()

    assert bench.segments() == [["1\na"]]
    assert await bench.tail.texts() == []


async def test_what_comes_while_a_segment_is_stored_stays_in_the_tail_until_the_next() -> None:
    bench = await _bench(period_seconds=0.01)
    bench.artifacts.faults.is_dead = True
    await bench.add("1\na")
    await bench.artifacts.faults.waiting.wait()
    await bench.add("2\nb")

    bench.running.cancel()

    assert await bench.tail.texts() == ["1\na", "2\nb"]


async def test_an_answer_that_came_too_late_for_a_segment_is_not_dropped_with_it() -> None:
    class Slow(FaultyArtifacts):
        async def put(self, path: str, data: bytes) -> None:
            if not self.files:
                await bench.jobs.add_answers(JOB_ID, fence=bench.fence, answers=["2\nb"])
            await super().put(path, data)

    bench = await _bench(period_seconds=0.01)
    bench.artifacts = bench.writer._artifacts = Slow()

    await bench.add("1\na")
    await bench.closed()

    assert bench.segments() == [["1\na"]]
    assert await bench.tail.texts() == ["2\nb"]


async def test_a_store_that_is_away_for_long_makes_answers_wait() -> None:
    bench = await _bench(period_seconds=0.01)
    bench.artifacts.faults.is_away = True
    await bench.add("1\n" + "x" * BACKLOG_BYTES)

    waiting = asyncio.create_task(bench.writer.room())
    await all_has_run()
    had_room = waiting.done()
    bench.artifacts.faults.is_away = False

    await asyncio.wait_for(waiting, 5)
    assert not had_room
    await bench.closed()


async def test_a_writer_stops_when_the_job_is_another_workers() -> None:
    bench = await _bench(period_seconds=0.01)
    await bench.add("1\na")
    await take_over(bench.jobs)

    with pytest.raises(LeaseLostError):
        await asyncio.wait_for(bench.running, 5)

    assert await bench.tail.texts() == ["1\na"]


async def test_a_writer_with_nothing_to_store_stores_nothing() -> None:
    bench = await _bench(period_seconds=0.01)

    await bench.closed()

    assert bench.artifacts.files == {}
