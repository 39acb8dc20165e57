"""Files of versions go once nobody names them: after a day, or with the version that was deleted."""

import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore, MemoryProgramStore
from dspy_service.domain.errors import IdempotencyKeyReusedError, StoreUnavailableError
from dspy_service.domain.serving.errors import LimitReachedError, ProgramVersionActiveError
from dspy_service.domain.serving.program import NewVersion, ProgramVersion
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.delete_program import delete_program, delete_version
from dspy_service.usecases.serving.record_version import VersionLimits, record_version
from dspy_service.usecases.serving.sweep_versions import LEFT_SECONDS, sweep_versions
from dspy_service.usecases.serving.version_files import read_version_files, write_version_files
from tests.support.served_programs import a_new_version
from tests.support.signed import SECRET_KEY
from tests.support.swept import Artifacts
from tests.support.webhooks import Clock

FILES = {"program.json": b"{}", "metadata.json": b"[]"}
NO_LIMITS = VersionLimits()


class Stage:
    """The ports, and the time of the programs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.jobs = MemoryJobStore()
        self.programs = MemoryProgramStore(self.clock)
        self.artifacts = Artifacts()

    async def record(
        self,
        version: NewVersion,
        *,
        programs: ProgramStore | None = None,
        key: str | None = None,
        limits: VersionLimits = NO_LIMITS,
    ) -> ProgramVersion:
        found, _ = await record_version(
            version,
            FILES,
            idempotency_key=key,
            limits=limits,
            programs=programs or self.programs,
            artifacts=self.artifacts,
            secret_key=SECRET_KEY,
        )
        return found

    async def crash_before_the_record(self, version: NewVersion) -> None:
        await write_version_files(version, FILES, artifacts=self.artifacts, secret_key=SECRET_KEY)

    async def sweep(self) -> None:
        await sweep_versions(jobs=self.jobs, programs=self.programs, artifacts=self.artifacts)

    async def digests(self) -> list[str]:
        """Return the digests of which there are files, by their first letter."""
        return sorted({path.split("/")[3][0] for path in await self.artifacts.list("programs")})

    async def delete_version(self, version: int) -> None:
        await delete_version("answers", version, tenant="local", programs=self.programs, artifacts=self.artifacts)

    async def delete_program(self) -> None:
        await delete_program("answers", tenant="local", programs=self.programs, artifacts=self.artifacts)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_files_of_a_deployment_that_crashed_go_after_a_day(stage: Stage) -> None:
    await stage.record(a_new_version(digest="a"))
    await stage.crash_before_the_record(a_new_version(digest="b"))
    await stage.crash_before_the_record(a_new_version("never", tenant="acme", digest="c"))

    await stage.sweep()
    stage.clock.seconds += LEFT_SECONDS - 1
    await stage.sweep()
    before = await stage.digests()
    stage.clock.seconds += 1
    await stage.sweep()

    assert (before, await stage.digests()) == (["a", "b", "c"], ["a"])


async def test_a_deployment_that_takes_its_time_keeps_its_files(stage: Stage) -> None:
    late = a_new_version(digest="b")
    await stage.crash_before_the_record(late)
    await stage.sweep()

    await stage.record(late)
    stage.clock.seconds += LEFT_SECONDS
    await stage.sweep()

    assert await stage.digests() == ["b"]


async def test_files_of_another_kind_are_left_alone(stage: Stage) -> None:
    foreign = ["programs/notes.txt", "programs/local/answers/short/program.json", f"programs/x/{'a' * 64}/program.json"]
    for path in foreign:
        await stage.artifacts.put(path, b"x")

    await stage.sweep()
    stage.clock.seconds += LEFT_SECONDS
    await stage.sweep()

    assert sorted(await stage.artifacts.list("programs")) == sorted(foreign)


async def test_files_of_another_job_store_are_left_alone(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    other = Stage()
    other.artifacts = stage.artifacts
    await other.sweep()
    await stage.crash_before_the_record(a_new_version(digest="b"))

    await stage.sweep()
    stage.clock.seconds += LEFT_SECONDS
    await stage.sweep()

    assert await stage.digests() == ["b"]
    assert "The files in programs/ belong to another job store" in caplog.text


async def test_files_that_cannot_be_deleted_wait_for_the_next_sweep(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.crash_before_the_record(a_new_version(digest="b"))
    await stage.sweep()
    stage.clock.seconds += LEFT_SECONDS
    stage.artifacts.refused = "programs/"

    await stage.sweep()
    told = caplog.text
    stage.artifacts.refused = None
    await stage.sweep()

    assert "cannot be deleted yet" in told
    assert await stage.digests() == []


async def test_a_deleted_version_takes_its_files_along_unless_an_equal_one_needs_them(stage: Stage) -> None:
    for digest in ("a", "b", "a", "c"):
        await stage.record(a_new_version(digest=digest))
    for number in (2, 3):
        await stage.programs.retire("local", "answers", number)
        await stage.delete_version(number)

    assert await stage.digests() == ["a", "c"]
    with pytest.raises(ProgramVersionActiveError):
        await stage.delete_version(4)
    assert await stage.digests() == ["a", "c"]


async def test_a_deleted_program_takes_all_its_files_along(stage: Stage) -> None:
    for number in range(103):
        await stage.programs.add_version(a_new_version(digest=f"{number:064x}"))
        await stage.crash_before_the_record(a_new_version(digest=f"{number:064x}"))
    await stage.record(a_new_version("other", digest="f"))

    await stage.delete_program()

    assert await stage.digests() == ["f"]
    assert [each.name for each in (await stage.programs.programs("local"))[0]] == ["other"]


async def test_what_is_one_too_many_leaves_no_files(stage: Stage) -> None:
    limits = VersionLimits(max_programs=1, max_versions=1)
    await stage.record(a_new_version(digest="a"), limits=limits)

    with pytest.raises(LimitReachedError, match="1 versions"):
        await stage.record(a_new_version(digest="b"), limits=limits)
    with pytest.raises(LimitReachedError, match="1 programs"):
        await stage.record(a_new_version("other", digest="c"), limits=limits)

    assert await stage.digests() == ["a"]


async def test_a_key_that_was_used_for_another_version_leaves_no_files(stage: Stage) -> None:
    await stage.record(a_new_version(digest="a"), key="k")

    with pytest.raises(IdempotencyKeyReusedError):
        await stage.record(a_new_version(digest="b"), key="k")

    assert await stage.digests() == ["a"]


class Deleting(MemoryProgramStore):
    """Somebody deletes an equal version just before a version is recorded, and one of its files or all of them go."""

    def __init__(self, artifacts: MemoryArtifactStore, file: str | None = None) -> None:
        super().__init__()
        self._artifacts = artifacts
        self._file = file

    async def add_version(
        self, new: NewVersion, *, idempotency_key: str | None = None, max_programs: int = 0, max_versions: int = 0
    ) -> tuple[ProgramVersion, bool]:
        if self._file is None:
            await self._artifacts.delete_folder(new.artifact_folder)
        else:
            await self._artifacts.delete(f"{new.artifact_folder}/{self._file}")
        return await super().add_version(
            new, idempotency_key=idempotency_key, max_programs=max_programs, max_versions=max_versions
        )


@pytest.mark.parametrize("file", [None, "program.json", "metadata.json", "manifest.json"])
async def test_a_version_has_its_files_whatever_is_deleted_beside_it(stage: Stage, file: str | None) -> None:
    version = await stage.record(a_new_version(digest="a"), programs=Deleting(stage.artifacts, file))

    assert await read_version_files(version, artifacts=stage.artifacts, secret_key=SECRET_KEY) == FILES


async def test_nothing_is_deployed_while_equal_files_go(stage: Stage) -> None:
    await stage.programs.leave("local", "answers", "a" * 64, unnamed_seconds=0)

    with pytest.raises(StoreUnavailableError, match="being deleted"):
        await stage.record(a_new_version(digest="a"))
