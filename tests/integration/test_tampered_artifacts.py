"""Through the whole platform: a file that was touched in the store is never served."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.payloads import ticket_request, ticket_rows
from tests.support.processes import wait_until
from tests.support.service import RunningService

FILES = ["program.pkl", "program.json", "metadata.json", "result.json", "events.jsonl"]
CANARY = b"canary-of-a-forger"


def finished_job(service: RunningService) -> str:
    """Run a small job to its end, its archived log included, and return its id."""
    job_id = service.submit(ticket_request(ticket_rows(12), optimizer_name="labeled_few_shot", optimizer_kwargs={}))
    assert service.wait(job_id)["status"] == "success"
    wait_until(lambda: get(service, f"{job_id}/artifact/files/events.jsonl").is_success)
    return job_id


@pytest.fixture(scope="module")
def job_id(service: RunningService) -> str:
    return finished_job(service)


@pytest.fixture
def folder(service: RunningService, job_id: str) -> Path:
    """Where readers look; ``<job>/`` has copies for people."""
    return folder_of(service, job_id)


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """That folder, which is put back as it was after the test."""
    shutil.copytree(folder, tmp_path / "saved")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "saved", folder)


def folder_of(service: RunningService, job_id: str) -> Path:
    """Return the folder of a job's first attempt."""
    return service.artifacts_dir / job_id / "1"


def get(service: RunningService, path: str) -> httpx.Response:
    return httpx.get(f"{service.base_url}/jobs/{path}", timeout=10, trust_env=False)


def is_refused(service: RunningService, job_id: str, name: str) -> bool:
    answer = get(service, f"{job_id}/artifact/files/{name}")
    assert CANARY not in answer.content
    return (answer.status_code, answer.json()["error"]) == (500, "artifact_corrupt")


@pytest.mark.parametrize("name", FILES)
def test_an_untouched_file_is_served(name: str, service: RunningService, job_id: str, folder: Path) -> None:
    answer = get(service, f"{job_id}/artifact/files/{name}")

    assert answer.content == (folder / name).read_bytes()
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_not_served(name: str, service: RunningService, job_id: str, changed: Path) -> None:
    data = bytearray((changed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (changed / name).write_bytes(data + CANARY)

    assert is_refused(service, job_id, name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_its_manifest_is_not_served(
    name: str, service: RunningService, job_id: str, changed: Path
) -> None:
    for manifest in ("manifest.json", "events.manifest.json"):
        (changed / manifest).unlink()

    assert is_refused(service, job_id, name)


@pytest.mark.parametrize("name", ["result.json", "metadata.json", "program.pkl", "events.jsonl"])
def test_a_changed_file_is_not_parsed_for_the_status(
    name: str, service: RunningService, job_id: str, changed: Path
) -> None:
    (changed / name).write_bytes(CANARY)

    answer = get(service, job_id)

    assert (answer.status_code, answer.json()["error"]) == (500, "artifact_corrupt")
    assert CANARY not in answer.content
    assert name in answer.json()["detail"]


def test_a_program_of_another_job_does_not_pass_for_this_ones(
    service: RunningService, job_id: str, changed: Path
) -> None:
    other = finished_job(service)
    shutil.rmtree(changed)
    shutil.copytree(folder_of(service, other), changed)

    assert all(is_refused(service, job_id, name) for name in FILES)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe"])
def test_what_was_planted_in_a_files_place_is_not_followed(
    kind: str, service: RunningService, job_id: str, changed: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(CANARY)
    place = changed / "program.pkl"
    place.unlink()
    if kind == "symlink":
        place.symlink_to(tmp_path / "secret")
    elif kind == "hard link":
        place.hardlink_to(tmp_path / "secret")
    else:
        os.mkfifo(place)

    assert is_refused(service, job_id, "program.pkl")
