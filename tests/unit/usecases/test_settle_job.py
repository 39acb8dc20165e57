"""An ended job is put in its last place, by whoever comes first and however often."""

from typing import Any

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import journal_segment
from dspy_service.domain.errors import FileNotStoredError, StoreUnavailableError
from dspy_service.domain.events import Event
from dspy_service.domain.job import Claim, JobStatus, Wish
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.supervision import Halt, Interrupted, Reins, RunReport
from dspy_service.usecases.control_job import retry
from dspy_service.usecases.read_artifact import read_artifact, read_result
from dspy_service.usecases.read_events import read_events
from dspy_service.usecases.settle_job import settle_job
from tests.support.claims import DATASET, JOB_ID, new_job
from tests.support.executed import ScriptedSupervisor, checkpoint, execute_job
from tests.support.lm_calls import rows_json, spec
from tests.support.signed import SECRET_KEY
from tests.support.working import end, fail, start

FAILED = RunReport.failed("metric_error", "wrong")


async def settle(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> None:
    await settle_job(JOB_ID, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)


async def events(jobs: MemoryJobStore, artifacts: MemoryArtifactStore) -> list[Event]:
    return await read_events(await jobs.get(JOB_ID), jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)


async def ended(*, status: JobStatus = JobStatus.FAILED) -> tuple[MemoryJobStore, MemoryArtifactStore]:
    """Return a job that its worker has ended and nobody has settled."""
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()
    await artifacts.put(DATASET, rows_json(4))
    await jobs.create(new_job())
    fence = await start(jobs, JOB_ID)
    reason = {JobStatus.FAILED: "error", JobStatus.CANCELLED: "cancelled"}[status]
    await end(jobs, JOB_ID, fence, status=status, reason=reason, folder=None)
    return jobs, artifacts


async def test_events_and_spec_move_to_the_artifact_store() -> None:
    jobs, artifacts = await ended()
    before = await events(jobs, artifacts)

    await settle(jobs, artifacts)

    job = await jobs.get(JOB_ID)
    assert (job.archived_seq, job.archive_fence) == (job.last_seq, job.fence)
    assert await jobs.events(JOB_ID) == []
    assert await jobs.spec(JOB_ID) is None
    assert await events(jobs, artifacts) == before
    assert JobSpec.model_validate_json(await artifacts.get(f"{JOB_ID}/spec.json")) == spec()


async def test_settling_twice_changes_nothing() -> None:
    jobs, artifacts = await ended()
    await settle(jobs, artifacts)
    job, files = await jobs.get(JOB_ID), dict(artifacts.files)

    await settle(jobs, artifacts)

    assert (await jobs.get(JOB_ID), artifacts.files) == (job, files)


async def test_a_crash_before_the_record_knows_is_made_good_by_the_next_one() -> None:
    class Crashing(MemoryJobStore):
        crashes = True

        async def settle(self, job_id: str, **fields: Any) -> None:  # noqa: ANN401  # handed on
            if self.crashes:
                raise StoreUnavailableError("job store")
            await super().settle(job_id, **fields)

    jobs, artifacts = Crashing(), MemoryArtifactStore()
    await jobs.create(new_job())
    await fail(jobs, JOB_ID, await start(jobs, JOB_ID))
    with pytest.raises(StoreUnavailableError):
        await settle(jobs, artifacts)
    before = await events(jobs, artifacts)
    jobs.crashes = False

    await settle(jobs, artifacts)

    assert await events(jobs, artifacts) == before


async def test_a_second_worker_that_comes_too_late_to_read_the_log_writes_none() -> None:
    class Overtaken(MemoryJobStore):
        """Another worker settles the job between two reads of this one."""

        overtaking = False

        async def events(self, job_id: str, **fields: Any) -> list[Event]:  # noqa: ANN401  # handed on
            if self.overtaking:
                self.overtaking = False
                await settle(self, artifacts)
            return await super().events(job_id, **fields)

    jobs, artifacts = Overtaken(), MemoryArtifactStore()
    await jobs.create(new_job())
    await fail(jobs, JOB_ID, await start(jobs, JOB_ID))
    before = await events(jobs, artifacts)
    jobs.overtaking = True

    await settle(jobs, artifacts)

    assert await events(jobs, artifacts) == before


async def test_a_job_that_runs_or_is_gone_is_left_alone() -> None:
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()
    await settle(jobs, artifacts)
    await jobs.create(new_job())
    await start(jobs, JOB_ID)

    await settle(jobs, artifacts)

    assert artifacts.files == {}
    assert (await jobs.get(JOB_ID)).archived_seq == 0


async def test_a_job_that_was_cancelled_before_it_began_has_a_log_and_no_result() -> None:
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()
    await jobs.create(new_job())
    await jobs.wish(JOB_ID, Wish.CANCEL)

    await settle(jobs, artifacts)

    states = [event.data["status"] for event in await events(jobs, artifacts)]
    result = await read_result(await jobs.get(JOB_ID), artifacts=artifacts, secret_key=SECRET_KEY)
    assert states == ["pending", "cancelled"]
    assert result.termination_reason == "cancelled"


@pytest.mark.parametrize(("status", "kept"), [(JobStatus.FAILED, True), (JobStatus.CANCELLED, False)])
async def test_only_a_failed_job_keeps_its_journal(status: JobStatus, *, kept: bool) -> None:
    jobs, artifacts = await ended(status=status)
    segment = journal_segment(JOB_ID, 1, 1)
    await artifacts.put(segment, b"answers")

    await settle(jobs, artifacts)

    assert (segment in artifacts.files) is kept


async def test_folders_of_other_attempts_and_of_checkpoints_are_cleared() -> None:
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()
    await artifacts.put(f"{JOB_ID}/1/result.json", b"of an attempt that lost its lease")
    await artifacts.put(f"{JOB_ID}/1/best-1/program.pkl", b"its best")
    await artifacts.put(DATASET, rows_json(4))
    await jobs.create(new_job())
    await jobs.release(JOB_ID, fence=await start(jobs, JOB_ID))
    seen: list[set[str]] = []

    async def look(_claim: Claim, _jobs: MemoryJobStore, _reins: Reins) -> None:
        seen.append({path.rpartition("/")[0] for path in await artifacts.list(JOB_ID)})

    supervisor = ScriptedSupervisor(during=look, checkpoints=[checkpoint()])

    await execute_job(supervisor, jobs=jobs, artifacts=artifacts, create=False)

    assert seen == [{f"{JOB_ID}/1", f"{JOB_ID}/1/best-1", f"{JOB_ID}/2/best-1"}]
    assert {path.rpartition("/")[0] for path in await artifacts.list(JOB_ID)} == {JOB_ID, f"{JOB_ID}/2"}


async def test_the_best_program_of_a_paused_job_becomes_its_result_when_it_is_cancelled() -> None:
    jobs, artifacts = await paused_with_best()
    await jobs.wish(JOB_ID, Wish.CANCEL)

    await settle(jobs, artifacts)

    job = await jobs.get(JOB_ID)
    view = await read_artifact(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    result = await read_result(job, artifacts=artifacts, secret_key=SECRET_KEY)
    assert (job.status, job.has_artifact, job.result_path) == (JobStatus.CANCELLED, True, f"{JOB_ID}/1/best-1")
    assert view.program_artifact.program_pickle_base64 == "YmVzdA=="
    assert (result.termination_reason, result.baseline_test_metric) == ("cancelled", 0.25)
    assert result.runtime_seconds == job.elapsed_seconds()
    assert await artifacts.get(f"{JOB_ID}/program.pkl") == b"best"


async def paused_with_best() -> tuple[MemoryJobStore, MemoryArtifactStore]:
    """Return a job whose attempt kept a program before it was paused."""
    jobs, artifacts = MemoryJobStore(), MemoryArtifactStore()

    async def pause(_claim: Claim, store: MemoryJobStore, reins: Reins) -> None:
        await store.wish(JOB_ID, Wish.PAUSE)
        await reins.halted()

    supervisor = ScriptedSupervisor(Interrupted(Halt.PAUSE), during=pause, checkpoints=[checkpoint()])
    await execute_job(supervisor, jobs=jobs, artifacts=artifacts)
    assert (await jobs.get(JOB_ID)).status is JobStatus.PAUSED
    return jobs, artifacts


async def test_a_retried_job_has_one_log_over_both_of_its_ends() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))
    first = await events(jobs, artifacts)
    await retry(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    await execute_job(ScriptedSupervisor(), jobs=jobs, artifacts=artifacts, create=False)

    both = await events(jobs, artifacts)
    assert both[: len(first)] == first
    assert [event.seq for event in both] == list(range(1, len(both) + 1))
    assert both[-1].data["status"] == "success"
    assert {path.split("/")[1] for path in await artifacts.list(JOB_ID) if path.count("/") > 1} == {"3"}


async def test_events_of_a_reopened_job_are_read_from_both_places() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))
    before = len(await events(jobs, artifacts))
    await retry(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    job = await jobs.get(JOB_ID)
    pages = [
        await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY, after=after, limit=2)
        for after in range(0, job.last_seq, 2)
    ]

    assert [event.seq for page in pages for event in page] == list(range(1, before + 2))


async def test_a_lost_archive_does_not_keep_a_retried_job_from_being_settled(caplog: pytest.LogCaptureFixture) -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor(FAILED))
    before = (await jobs.get(JOB_ID)).last_seq
    await retry(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)
    await artifacts.delete_folder(JOB_ID)

    await execute_job(ScriptedSupervisor(), jobs=jobs, artifacts=artifacts, create=False)

    job = await jobs.get(JOB_ID)
    assert job.archived_seq == job.last_seq
    assert [event.seq for event in await events(jobs, artifacts)] == list(range(before + 1, job.last_seq + 1))
    last = await read_events(job, jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY, after=before + 1, limit=1)
    assert [event.seq for event in last] == [before + 2]
    assert "before its retry are lost" in caplog.text


async def test_files_that_somebody_changed_do_not_keep_a_job_from_being_settled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Tampering(MemoryArtifactStore):
        """Changes a result as soon as it is signed."""

        async def put(self, path: str, data: bytes) -> None:
            await super().put(path, data)
            if path == f"{JOB_ID}/1/manifest.json":
                self.files[f"{JOB_ID}/1/result.json"] = b"forged"

    jobs, artifacts = await execute_job(ScriptedSupervisor(), artifacts=Tampering())

    assert (await jobs.get(JOB_ID)).archived_seq
    assert f"{JOB_ID}/result.json" not in artifacts.files
    assert "not what this service stored" in caplog.text


async def test_an_end_stands_although_it_cannot_be_settled_yet(caplog: pytest.LogCaptureFixture) -> None:
    class NoArchive(MemoryArtifactStore):
        async def put(self, path: str, data: bytes) -> None:
            if path.endswith("events.jsonl"):
                raise StoreUnavailableError("artifact store")
            await super().put(path, data)

    jobs, _ = await execute_job(ScriptedSupervisor(), artifacts=NoArchive())

    assert (await jobs.get(JOB_ID)).status is JobStatus.SUCCESS
    assert await jobs.unsettled(older_than_seconds=0) == [JOB_ID]
    assert "is put in its place later" in caplog.text


async def test_an_archive_that_was_removed_is_an_error_and_no_empty_log() -> None:
    jobs, artifacts = await execute_job(ScriptedSupervisor())
    artifacts.files.clear()

    with pytest.raises(FileNotStoredError):
        await events(jobs, artifacts)
