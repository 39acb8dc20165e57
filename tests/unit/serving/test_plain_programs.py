"""Rebuilt programs of a process: read once, shared, and forgotten in the order of their last use."""

import asyncio

import dspy
import pytest

from dspy_service.domain.errors import ArtifactCorruptError
from dspy_service.domain.serving.program import ProgramVersion
from tests.support.served import version_of
from workers.runner.artifact import state_json
from workers.serving.plain_programs import PlainPrograms

_PROGRAM = dspy.Predict("question -> answer")


class Files:
    """Keeps count of what is read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.error: Exception | None = None

    async def __call__(self, version: ProgramVersion) -> bytes:
        self.read.append(version.artifact_folder)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return state_json(_PROGRAM)


async def test_a_version_is_read_once_however_many_runs_want_it() -> None:
    files = Files()
    programs = PlainPrograms(files)
    version = version_of(_PROGRAM)

    found = await asyncio.gather(*(programs.of(version) for _ in range(8)))

    assert len({id(program) for program in found}) == 1
    assert files.read == [version.artifact_folder]


async def test_the_version_that_was_not_used_for_longest_is_forgotten() -> None:
    files = Files()
    programs = PlainPrograms(files, max_programs=2)
    versions = {name: version_of(_PROGRAM, artifact_folder=name) for name in "abc"}

    for name in ("a", "b", "a", "c", "a", "b"):
        await programs.of(versions[name])

    assert files.read == ["a", "b", "c", "b"]


async def test_a_version_that_could_not_be_read_is_read_again() -> None:
    files = Files()
    files.error = ArtifactCorruptError("program.json", "it is not there")
    programs = PlainPrograms(files)
    with pytest.raises(ArtifactCorruptError):
        await programs.of(version_of(_PROGRAM))

    files.error = None

    assert isinstance(await programs.of(version_of(_PROGRAM)), dspy.Predict)
