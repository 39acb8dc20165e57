"""What earlier attempts left of a journal, and what others left in its place."""

import asyncio
import time

import pytest

from dspy_service.domain.artifact_paths import journal_folder, journal_segment
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_segment import SegmentHead, encode_segment
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, FaultyArtifacts, open_journal
from tests.support.lm_calls import entry


async def test_the_first_answer_stands_over_attempts_and_segments() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    for fence, number in ((1, 1), (1, 2), (2, 1)):
        head = SegmentHead(tenant="local", job_id=JOB_ID, fence=fence, number=number)
        text = entry(7, answer=b'"response":{"from":"%d-%d"}' % (fence, number)).text()
        await artifacts.put(head.path, encode_segment(head, [text], key=KEY))

    journal = await open_journal(claim, jobs, artifacts)

    assert b"1-1" in journal.find(entry(7).key).entry.answer
    await journal.aclose()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        encode_segment(
            SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=1), [entry(9).text()], key=b"another key" * 3
        ),
        encode_segment(SegmentHead(tenant="b", job_id=JOB_ID, fence=1, number=1), [entry(9).text()], key=KEY),
        encode_segment(SegmentHead(tenant="local", job_id="other", fence=1, number=1), [entry(9).text()], key=KEY),
        encode_segment(SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=2), [entry(9).text()], key=KEY),
        encode_segment(
            SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=1), [entry(9).text() + b"\n]"], key=KEY
        )[:-3],
    ],
    ids=["empty", "garbage", "other key", "other tenant", "other job", "other number", "cut short"],
)
async def test_a_segment_that_is_not_ours_is_left_out_and_logged(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    path = journal_segment(JOB_ID, 1, 1)
    await artifacts.put(path, data)
    good = SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=3)
    await artifacts.put(good.path, encode_segment(good, [entry(1).text()], key=KEY))
    seen: list[JournalEntry] = []

    journal = await open_journal(claim, jobs, artifacts, on_entry=seen.append)

    assert seen == [entry(1)]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert path in caplog.text
    await journal.aclose()


async def test_other_files_and_other_texts_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    await artifacts.put(f"{journal_folder(JOB_ID)}/notes.txt", b"mine")
    await jobs.add_answers(JOB_ID, fence=claim.fence, answers=["no entry", entry(1).text().decode()])
    seen: list[JournalEntry] = []

    journal = await open_journal(claim, jobs, artifacts, on_entry=seen.append)

    assert seen == [entry(1)]
    assert caplog.text.count("left out") == 2
    await journal.aclose()


async def test_a_segment_that_vanishes_while_it_is_read_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Vanishing(FaultyArtifacts):
        async def list(self, folder: str) -> list[str]:
            return [*await super().list(folder), journal_segment(JOB_ID, 1, 9)]

    (jobs, claim), artifacts, seen = await claimed(), Vanishing(), []
    head = SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=1)
    await artifacts.put(head.path, encode_segment(head, [entry(1).text()], key=KEY))

    journal = await open_journal(claim, jobs, artifacts, on_entry=seen.append)
    await journal.aclose()

    assert seen == [entry(1)]
    assert journal_segment(JOB_ID, 1, 9) in caplog.text


@pytest.mark.parametrize("where", ["tail", "segment"])
async def test_what_a_newer_release_wrote_is_an_error(where: str) -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    newer = entry(1).text().replace(b"[1,", b"[2,", 1)
    if where == "tail":
        await jobs.add_answers(JOB_ID, fence=claim.fence, answers=[newer.decode()])
    else:
        head = SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=1)
        await artifacts.put(head.path, encode_segment(head, [newer], key=KEY))

    with pytest.raises(ConfigurationError, match="upgrade"):
        await open_journal(claim, jobs, artifacts)


async def test_a_store_that_is_away_is_told_when_the_journal_is_opened() -> None:
    class Away(FaultyArtifacts):
        async def list(self, folder: str) -> list[str]:
            raise StoreUnavailableError(folder)

    jobs, claim = await claimed()

    with pytest.raises(StoreUnavailableError):
        await open_journal(claim, jobs, Away())


async def test_fifty_thousand_answers_are_read_in_seconds_and_others_get_their_turn() -> None:
    (jobs, claim), artifacts = await claimed(), FaultyArtifacts()
    for number in range(25):
        head = SegmentHead(tenant="local", job_id=JOB_ID, fence=1, number=number + 1)
        texts = [entry(number * 2000 + n, answer=b'"response":"%b"' % (b"x" * 400)).text() for n in range(2000)]
        await artifacts.put(head.path, encode_segment(head, texts, key=KEY))
    longest = turns = 0.0

    async def others() -> None:
        nonlocal longest, turns
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            longest, last, turns = max(longest, time.thread_time() - last), time.thread_time(), turns + 1

    ticking = asyncio.create_task(others())
    started = time.thread_time()
    journal = await open_journal(claim, jobs, artifacts)
    elapsed = time.thread_time() - started
    ticking.cancel()

    assert journal.find(entry(49_999).key) is not None
    assert elapsed < 5.0  # about 0.8 on an idle machine; a busy one takes several times as much
    assert turns >= 25
    assert longest < 0.5
    await journal.aclose()
