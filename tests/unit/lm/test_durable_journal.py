"""The journal that outlives its worker."""

import asyncio
import tempfile

import pytest

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.artifact_paths import journal_segment
from dspy_service.domain.job import Claim
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_segment import SegmentHead, encode_segment
from dspy_service.domain.journal_totals import JournalTotals, is_totals
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, Fault, FaultyArtifacts, FaultyTail, all_has_run, eventually, open_journal
from tests.support.lm_calls import entry
from workers.lm.segment_writer import BACKLOG_BYTES


async def _next_attempt(jobs: MemoryJobStore, claim: Claim) -> Claim:
    await jobs.release(JOB_ID, fence=claim.fence)
    following = await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1")
    assert following is not None
    return following


async def _left_behind(jobs: MemoryJobStore, claim: Claim, artifacts: FaultyArtifacts, *numbers: int) -> None:
    """Keep some answers and close the journal, so that they stand in a segment."""
    journal = await open_journal(claim, jobs, artifacts)
    for number in numbers:
        await journal.keep(entry(number))
    await journal.aclose()


async def test_an_answer_is_kept_and_found() -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts())

    standing = await journal.keep(entry(1))
    found = journal.find(entry(1).key)

    assert standing == entry(1)
    assert (found.entry, found.is_replayed, found.is_earlier) == (entry(1), False, False)
    assert journal.find(entry(2).key) is None
    await journal.aclose()


async def test_the_first_answer_to_a_key_stands() -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts())
    await journal.keep(entry(1))

    assert await journal.keep(entry(1, answer=b'"response":{"text":"other"}')) == entry(1)
    assert len((await jobs.answers(JOB_ID))[1]) == 1
    await journal.aclose()


async def test_the_next_attempt_finds_everything_marked_as_replayed_once() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    await _left_behind(jobs, claim, artifacts, 1, 2)
    seen: list[JournalEntry] = []

    journal = await open_journal(await _next_attempt(jobs, claim), jobs, artifacts, on_entry=seen.append)
    await journal.keep(entry(3))
    marks = [
        (found.is_replayed, found.is_earlier)
        for number in (1, 1, 2, 3)
        if (found := journal.find(entry(number).key)) is not None
    ]

    assert seen == [entry(1), entry(2)]
    assert marks == [(True, True), (False, True), (True, True), (False, False)]
    await journal.aclose()


async def test_answers_survive_a_worker_that_never_stored_a_segment() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    artifacts.faults.is_dead = True
    dying = await open_journal(claim, jobs, artifacts)
    for number in range(5):
        await dying.keep(entry(number))
    seen: list[JournalEntry] = []
    artifacts.faults.is_dead = False

    journal = await open_journal(await _next_attempt(jobs, claim), jobs, artifacts, on_entry=seen.append)
    await journal.aclose()

    assert seen == [entry(number) for number in range(5)]
    assert (await jobs.answers(JOB_ID))[1] == []
    assert sorted(artifacts.files) == [journal_segment(JOB_ID, 2, 1)]
    dying._moving.cancel()
    dying._kept.close()


async def test_an_answer_that_stands_in_segment_and_tail_counts_once() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    await jobs.add_answers(JOB_ID, fence=claim.fence, answers=[entry(1).text().decode()] * 2)
    head = SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=1)
    await artifacts.put(head.path, encode_segment(head, [entry(1).text()], key=KEY))
    seen: list[JournalEntry] = []

    journal = await open_journal(await _next_attempt(jobs, claim), jobs, artifacts, on_entry=seen.append)
    await journal.aclose()

    assert seen == [entry(1)]
    assert (await jobs.answers(JOB_ID))[1] == []
    assert list(artifacts.files) == [head.path]


async def test_no_segment_of_the_same_fence_is_replaced() -> None:
    """A job store that was restored from an older copy counts its fences again."""
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    head = SegmentHead(tenant="local", job_id=JOB_ID, fence=claim.fence, number=4)
    await artifacts.put(head.path, encode_segment(head, [entry(1).text()], key=KEY))

    await _left_behind(jobs, claim, artifacts, 2)

    assert sorted(artifacts.files) == [head.path, journal_segment(JOB_ID, claim.fence, 5)]


async def test_a_full_journal_keeps_what_it_has_and_the_cost_of_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts(), max_bytes=1000)

    kept = [await journal.keep(entry(number)) for number in range(10)]
    found = [number for number in range(10) if journal.find(entry(number).key) is not None]

    assert kept == [entry(number) for number in range(10)]
    assert found == [0, 1]
    assert [is_totals(text.encode()) for text in (await jobs.answers(JOB_ID))[1]] == [False] * 2 + [True] * 8
    assert caplog.text.count("is full") == 1
    await journal.aclose()


@pytest.mark.parametrize("is_stored", [True, False], ids=["in segments", "in the tail"])
async def test_the_next_attempt_is_told_what_answers_cost_that_were_not_kept(is_stored: bool) -> None:  # noqa: FBT001  # a case
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    artifacts.faults.is_dead = not is_stored
    journal = await open_journal(claim, jobs, artifacts, max_bytes=0, close_seconds=2.0 if is_stored else 0.0)
    for number, cost_usd in enumerate([0.5, 0.25, None, 0.5]):
        await journal.keep(entry(number, cost_usd=cost_usd))
    await journal.keep(entry(4, role="prompt"))
    await journal.keep(entry(5, origin="refusal"))
    await journal.aclose()
    artifacts.faults.is_dead = False
    told: list[JournalTotals] = []

    following = await _next_attempt(jobs, claim)
    journal = await open_journal(following, jobs, artifacts, on_totals=told.append)
    await journal.aclose()

    assert sorted(told, key=lambda totals: totals.role) == [
        JournalTotals(1, "prompt", "model", 1, 3, 2, 0.5),
        JournalTotals(1, "task", "model", 4, 12, 8, 1.25, 1),
    ]
    assert (await jobs.answers(JOB_ID))[1] == []


async def test_costs_of_several_attempts_are_added_up_and_none_counts_twice() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    told: list[JournalTotals] = []

    for count in (3, 2, 0, 1):
        told.clear()
        journal = await open_journal(claim, jobs, artifacts, max_bytes=0, on_totals=told.append)
        for number in range(count):
            await journal.keep(entry(number))
        await journal.aclose()
        claim = await _next_attempt(jobs, claim)
    told.clear()
    journal = await open_journal(claim, jobs, artifacts, max_bytes=0, on_totals=told.append)
    await journal.aclose()

    assert {totals.fence: totals.calls for totals in told} == {1: 3, 2: 2, 4: 1}


async def test_a_long_job_with_a_full_journal_stores_little() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    journal = await open_journal(claim, jobs, artifacts, max_bytes=0)

    await asyncio.gather(*(journal.keep(entry(number)) for number in range(2000)))
    await journal.aclose()

    assert sum(len(data) for data in artifacts.files.values()) < 1000 * len(artifacts.files) < 5000


async def test_what_earlier_attempts_kept_fills_the_journal_too() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    await _left_behind(jobs, claim, artifacts, 1, 2)

    journal = await open_journal(await _next_attempt(jobs, claim), jobs, artifacts, max_bytes=1000)
    await journal.keep(entry(3))

    assert journal.find(entry(2).key) is not None
    assert journal.find(entry(3).key) is None
    await journal.aclose()


async def test_whoever_asks_hears_once_that_the_journal_is_lost() -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts())
    losses: list[str] = []
    journal.when_lost(lambda: losses.append("lost"))
    await _next_attempt(jobs, claim)

    keeping = asyncio.create_task(journal.keep(entry(1)))
    await eventually(lambda: losses == ["lost"])
    await all_has_run()

    assert not keeping.done()
    keeping.cancel()
    await journal.aclose()


async def test_a_journal_that_cannot_empty_its_tail_any_more_is_lost_too() -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts())
    losses: list[str] = []
    journal.when_lost(lambda: losses.append("lost"))
    await journal.keep(entry(1))
    await _next_attempt(jobs, claim)

    await journal.aclose()

    assert losses == ["lost"]
    assert (await jobs.answers(JOB_ID))[1] == [entry(1).text().decode()]


async def test_closing_gives_up_on_a_store_that_never_answers() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    tail = FaultyTail(jobs)
    journal = await open_journal(claim, tail, artifacts, close_seconds=0.01)
    await journal.keep(entry(1))
    artifacts.faults.is_dead = True

    await asyncio.wait_for(journal.aclose(), 5)

    assert await tail.texts() == [entry(1).text().decode()]


async def test_a_full_disk_costs_calls_and_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The temporary folder is not there any more when the answers outgrow the memory for them."""
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    journal = await open_journal(claim, jobs, artifacts)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    large = [entry(number, answer=b'"response":"%b"' % (b"x" * (9 << 20))) for number in range(2)]

    kept = [await journal.keep(answer) for answer in large]
    found = [journal.find(answer.key) for answer in large]
    await journal.aclose()

    assert kept == large
    assert [each is not None for each in found] == [True, False]
    assert len(artifacts.files) == 2
    assert "not at hand" in caplog.text


async def test_an_answer_that_cannot_be_read_back_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    jobs, claim = await claimed()
    journal = await open_journal(claim, jobs, FaultyArtifacts())
    await journal.keep(entry(1))

    journal._kept._file.truncate(2)

    assert journal.find(entry(1).key) is None
    assert await journal.keep(entry(1)) == entry(1)
    assert "cannot be read back" in caplog.text
    assert JournalTotals.parse((await jobs.answers(JOB_ID))[1][1].encode()).calls == 1, "it was paid for twice"
    await journal.aclose()


async def test_no_answer_is_added_to_a_tail_that_holds_too_much() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    journal = await open_journal(claim, jobs, artifacts)
    artifacts.faults.is_away = True
    await journal.keep(entry(1, answer=b'"response":"%b"' % (b"x" * BACKLOG_BYTES)))

    keeping = asyncio.create_task(journal.keep(entry(2)))
    await all_has_run()
    in_tail = len((await jobs.answers(JOB_ID))[1])
    artifacts.faults.is_away = False
    await asyncio.wait_for(keeping, 5)
    await journal.aclose()

    assert in_tail == 1


async def test_a_bug_while_segments_are_written_is_logged_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    tail = FaultyTail(jobs)
    journal = await open_journal(claim, tail, artifacts)
    artifacts.faults.coming.append(Fault.BUG)
    await journal.keep(entry(1))

    await journal.aclose()

    assert "written no more" in caplog.text
    assert await tail.texts() == [entry(1).text().decode()]
