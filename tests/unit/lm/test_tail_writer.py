"""Answers on their way into a journal's tail."""

import asyncio

import pytest

from tests.support.claims import JOB_ID, claimed, take_over
from tests.support.journals import Fault, FaultyTail, all_has_run, eventually
from workers.lm.tail_writer import NewText, TailWriter


class Heard:
    def __init__(self) -> None:
        self.kept: list[tuple[list[str], int]] = []
        self.losses = 0

    def on_kept(self, answers: list[NewText], end: int) -> None:
        self.kept.append(([answer.text.decode() for answer in answers], end))

    def on_lost(self) -> None:
        self.losses += 1


async def _writer() -> tuple[TailWriter, FaultyTail, Heard]:
    jobs, claim = await claimed()
    tail, heard = FaultyTail(jobs), Heard()
    writer = TailWriter(tail, job_id=JOB_ID, fence=claim.fence, on_kept=heard.on_kept, on_lost=heard.on_lost)
    return writer, tail, heard


def _answer(number: int, size: int = 1) -> NewText:
    return NewText(f"{number}".encode() * size, key=f"{number:064x}")


async def test_an_answer_stands_in_the_tail_before_anybody_hears_of_it() -> None:
    writer, tail, heard = await _writer()

    await writer.write(_answer(1))

    assert await tail.texts() == ["1"]
    assert heard.kept == [(["1"], 1)]


async def test_all_that_wait_are_written_in_one_call() -> None:
    writer, tail, heard = await _writer()

    await asyncio.gather(*(writer.write(_answer(number)) for number in range(9)))

    assert tail.batches == [9]
    assert heard.kept == [([str(number) for number in range(9)], 9)]


async def test_what_comes_while_a_call_is_made_goes_with_the_next() -> None:
    writer, tail, _ = await _writer()
    tail.faults.coming.append(Fault.AWAY)
    first = asyncio.create_task(writer.write(_answer(1)))
    await eventually(lambda: tail.batches == [1])
    others = [asyncio.create_task(writer.write(_answer(number))) for number in range(2, 6)]

    await asyncio.gather(first, *others)

    assert tail.batches == [1, 1, 4]
    assert await tail.texts() == ["1", "2", "3", "4", "5"]


async def test_large_answers_are_not_all_in_one_call() -> None:
    writer, tail, _ = await _writer()

    await asyncio.gather(*(writer.write(_answer(number, size=600_000)) for number in range(1, 6)))

    assert tail.batches == [2, 2, 1]


async def test_many_answers_are_not_all_in_one_call() -> None:
    writer, tail, _ = await _writer()

    await asyncio.gather(*(writer.write(_answer(number)) for number in range(300)))

    assert tail.batches == [256, 44]


async def test_a_store_that_is_away_is_waited_for() -> None:
    writer, tail, heard = await _writer()
    tail.faults.coming.extend([Fault.AWAY] * 3)

    await writer.write(_answer(1))

    assert tail.batches == [1, 1, 1, 1]
    assert await tail.texts() == ["1"]
    assert len(heard.kept) == 1


async def test_a_lost_reply_may_write_twice_and_the_number_says_so() -> None:
    writer, tail, heard = await _writer()
    tail.faults.coming.append(Fault.REPLY_LOST)

    await writer.write(_answer(1))

    assert await tail.texts() == ["1", "1"]
    assert heard.kept == [(["1"], 2)]


async def test_an_answer_of_a_worker_that_lost_its_job_is_never_seen() -> None:
    jobs, claim = await claimed()
    heard = Heard()
    writer = TailWriter(jobs, job_id=JOB_ID, fence=claim.fence, on_kept=heard.on_kept, on_lost=heard.on_lost)
    await take_over(jobs)

    first = asyncio.create_task(writer.write(_answer(1)))
    await eventually(lambda: heard.losses == 1)
    second = asyncio.create_task(writer.write(_answer(2)))
    await all_has_run()

    assert not first.done()
    assert not second.done()
    assert (heard.kept, heard.losses) == ([], 1)
    assert await jobs.answers(JOB_ID) == (0, [])
    first.cancel()
    second.cancel()


async def test_a_bug_of_the_store_is_told_to_whoever_waits_and_the_next_answer_is_written() -> None:
    writer, tail, _ = await _writer()
    tail.faults.coming.append(Fault.BUG)

    with pytest.raises(ZeroDivisionError):
        await writer.write(_answer(1))
    await writer.write(_answer(2))

    assert await tail.texts() == ["2"]


async def test_a_bug_of_whoever_listens_is_told_to_whoever_waits() -> None:
    writer, _, heard = await _writer()
    heard.kept = None

    with pytest.raises(AttributeError):
        await writer.write(_answer(1))


async def test_nobody_who_waits_is_in_the_way_when_he_leaves() -> None:
    writer, tail, _ = await _writer()
    tail.faults.coming.append(Fault.AWAY)
    tasks = [asyncio.create_task(writer.write(_answer(number))) for number in (1, 2)]
    await eventually(lambda: tail.batches == [2])

    tasks[0].cancel()
    await tasks[1]

    assert await tail.texts() == ["1", "2"]


async def test_a_closed_writer_writes_nothing_more() -> None:
    writer, tail, _ = await _writer()
    tail.faults.is_away = True
    waiting = asyncio.create_task(writer.write(_answer(1)))
    await eventually(lambda: tail.batches != [])

    await writer.aclose()
    tail.faults.is_away = False
    late = asyncio.create_task(writer.write(_answer(2)))
    await all_has_run()

    assert not waiting.done()
    assert not late.done()
    assert await tail.texts() == []
    waiting.cancel()
    late.cancel()
