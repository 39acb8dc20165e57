"""A program whose state is not in order is not stored, and its pickle is never looked into."""

import dataclasses
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from dspy_service.domain.job import JobStatus
from dspy_service.usecases.accept_program import accept_program
from dspy_service.usecases.read_artifact import read_artifact
from tests.support.claims import JOB_ID
from tests.support.executed import SUCCESS, ScriptedSupervisor, execute_job, stored_result
from tests.support.program_files import program_files, state
from tests.support.signed import SECRET_KEY


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._folder,)


def sent(**files: bytes | None) -> dict[str, bytes]:
    """Return the files of an honest runner, with changes; None takes one away."""
    changed = {**program_files(), **{name.replace("_", "."): data for name, data in files.items()}}
    return {name: data for name, data in changed.items() if data is not None}


HOSTILE = json.dumps(state(config={"api_base": "http://evil.example"})).encode()

REFUSED = [
    sent(program_json=HOSTILE),
    sent(program_json=b"\x80\x05"),
    sent(program_json=None),
    sent(program_pkl=None),
    sent(metadata_json=None),
    sent(metadata_json=b"{}"),
    {},
]


@pytest.mark.parametrize("files", REFUSED)
async def test_a_success_with_a_refused_program_is_a_failure_with_a_sentence(files: dict[str, bytes]) -> None:
    report = dataclasses.replace(SUCCESS, files=files)

    jobs, artifacts = await execute_job(ScriptedSupervisor(report))

    job = await jobs.get(JOB_ID)
    stored = await stored_result(jobs, artifacts)
    assert (job.status, job.has_artifact, job.termination_reason) == (JobStatus.FAILED, False, "error")
    assert (job.message or "").startswith("The runner's program was not stored: ")
    assert (stored.failure or {})["kind"] == "artifact_refused"
    assert stored.usage == SUCCESS.usage
    assert not [path for path in artifacts.files if "program" in path]


@pytest.mark.parametrize("files", REFUSED)
def test_a_cancelled_attempt_loses_a_refused_program_only(files: dict[str, bytes]) -> None:
    report = dataclasses.replace(SUCCESS, status=JobStatus.CANCELLED, termination_reason="cancelled", files=files)

    assert accept_program(report) == dataclasses.replace(report, files={})


def test_what_is_in_order_stays_as_it_is() -> None:
    cancelled = dataclasses.replace(SUCCESS, status=JobStatus.CANCELLED, termination_reason="cancelled")

    assert accept_program(SUCCESS) is SUCCESS
    assert accept_program(cancelled) is cancelled


async def test_a_pickle_is_opaque_bytes_from_the_runner_to_the_client(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    report = dataclasses.replace(SUCCESS, files=sent(program_pkl=trap))

    jobs, artifacts = await execute_job(ScriptedSupervisor(report))
    await artifacts.list(JOB_ID)
    view = await read_artifact(JOB_ID, tenant="local", jobs=jobs, artifacts=artifacts, secret_key=SECRET_KEY)

    assert view.program_artifact.program_pickle_base64
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap)  # noqa: S301 - proves that the trap works
    assert (tmp_path / "sprung").exists()
