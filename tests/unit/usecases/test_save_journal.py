"""The last answers of a failed job."""

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.job import JobStatus, Outcome
from dspy_service.usecases.save_journal import save_journal
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, open_journal
from tests.support.lm_calls import entry

_FAILED = Outcome(status=JobStatus.FAILED, termination_reason="error", message="no")


async def test_a_retry_finds_what_stood_in_the_tail_only() -> None:
    (jobs, claim), artifacts, seen = await claimed(), MemoryArtifactStore(), []
    texts = [entry(number).text().decode() for number in (1, 2)]
    await jobs.add_answers(JOB_ID, fence=claim.fence, answers=texts)
    job = await jobs.finish(JOB_ID, fence=claim.fence, outcome=_FAILED)

    await save_journal(job, tail=jobs, artifacts=artifacts, secret_key=KEY)
    await jobs.settle(JOB_ID, fence=job.fence, archived_seq=job.last_seq)
    await jobs.reopen(JOB_ID, spec=claim.spec)
    again = await jobs.claim(JOB_ID, owner="w2", lease_seconds=60, sandbox_level="L1")
    journal = await open_journal(again, jobs, artifacts, on_entry=seen.append)
    await journal.aclose()

    assert seen == [entry(1), entry(2)]


async def test_two_who_save_at_once_replace_nothing() -> None:
    (jobs, claim), artifacts, seen = await claimed(), MemoryArtifactStore(), []
    earlier = await open_journal(claim, jobs, artifacts)
    await earlier.keep(entry(1))
    await earlier.aclose()
    await jobs.add_answers(JOB_ID, fence=claim.fence, answers=[entry(2).text().decode()])

    for _ in range(2):
        await save_journal(claim.job, tail=jobs, artifacts=artifacts, secret_key=KEY)
    journal = await open_journal(claim, jobs, artifacts, on_entry=seen.append)
    await journal.aclose()

    assert len(artifacts.files) == 3
    assert seen == [entry(1), entry(2)]


async def test_an_empty_tail_leaves_no_file() -> None:
    (jobs, claim), artifacts = await claimed(), MemoryArtifactStore()

    await save_journal(claim.job, tail=jobs, artifacts=artifacts, secret_key=KEY)

    assert artifacts.files == {}
