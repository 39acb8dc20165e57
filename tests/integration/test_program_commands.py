"""`dspy-service programs …` as a user types it: from a job to a served version, and back to the one before."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.payloads import ticket_request
from tests.support.platforms import ROOT, Started, plain_environment, platform, short_folder

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("dspy-service")


@pytest.fixture(scope="module")
def service() -> Iterator[Started]:
    with short_folder() as folder, platform(folder) as program:
        program.wait_until_ready()
        yield program


@pytest.fixture(scope="module")
def job_id(service: Started) -> str:
    job_id = run(service, "submit", "-", stdin=json.dumps(ticket_request())).stdout.strip()
    run(service, "wait", job_id)
    return job_id


def run(service: Started, *words: str, stdin: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [PROGRAM, *words, "--url", service.base_url],
        cwd=cwd,
        env=plain_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_a_job_is_served_moved_to_and_rolled_back(service: Started, job_id: str) -> None:
    first = run(service, "programs", "deploy", "tickets", "--job", job_id)
    second = run(service, "programs", "deploy", "tickets", "--job", job_id, "--model", "demo/in-context?seed=3")
    moved = run(service, "programs", "move", "tickets", "2")
    stale = run(service, "programs", "move", "tickets", "1", "--if-revision", "1")
    difference = json.loads(run(service, "programs", "compare", "tickets", "1", "2").stdout)
    back = run(service, "programs", "rollback", "tickets")
    retired = run(service, "programs", "retire", "tickets", "2")
    listed = run(service, "programs", "list").stdout
    shown = json.loads(run(service, "programs", "show", "tickets", "1").stdout)

    deleted = run(service, "programs", "delete-version", "tickets", "2")
    gone = run(service, "programs", "show", "tickets", "2")

    assert first.stdout.startswith("tickets@v1  active  demo/in-context  score "), first.stderr
    assert second.stdout.startswith("tickets@v2  active  demo/in-context?seed=3")
    assert moved.stdout == "tickets@production is v2 (revision 2)\n"
    assert (stale.returncode, "is at revision 2 now" in stale.stderr) == (1, True)
    assert set(difference["settings"]) == {"model_config"}
    assert back.stdout == "tickets@production is v1 (revision 3)\n"
    assert retired.stdout.startswith("tickets@v2  retired")
    assert "tickets  v2  production=v1" in listed.splitlines()
    assert [field["name"] for field in shown["interface"]["fields"]] == ["ticket", "team"]
    assert "billing" in shown["interface"]["fields"][1]["json_schema"]["enum"]
    assert (deleted.stdout, gone.returncode) == ("tickets@v2 is deleted.\n", 1)


def test_files_that_were_downloaded_are_served_by_another_name(service: Started, job_id: str, tmp_path: Path) -> None:
    for name in ("program.json", "metadata.json"):
        (tmp_path / name).write_text(run(service, "artifact-file", job_id, name).stdout, encoding="utf-8")

    files = ("--program", str(tmp_path / "program.json"), "--metadata", str(tmp_path / "metadata.json"))
    without_model = run(service, "programs", "deploy", "copied", *files)
    deployed = run(service, "programs", "deploy", "copied", *files, "--model", "demo/in-context")
    versions = run(service, "programs", "versions", "copied").stdout
    made = run(service, "programs", "move", "copied", "1", "--alias", "beta", "--if-revision", "0")
    still_used = run(service, "programs", "delete", "copied")
    forgotten = run(service, "programs", "delete-alias", "copied", "beta")
    deleted = run(service, "programs", "delete", "copied")

    assert (without_model.returncode, "model_config: is required" in without_model.stderr) == (1, True)
    assert deployed.stdout == versions
    assert versions.startswith("copied@v1  active  demo/in-context")
    assert made.stdout == "copied@beta is v1 (revision 2)\n"
    assert (still_used.returncode, "still has the alias beta" in still_used.stderr) == (1, True)
    assert forgotten.stdout == "copied@beta is forgotten.\n"
    assert deleted.stdout == "copied is deleted.\n"


def test_what_serving_has_cost_is_told(service: Started, job_id: str) -> None:
    run(service, "programs", "deploy", "counted", "--job", job_id)
    answer = httpx.post(
        f"{service.base_url}/programs/counted/predict",
        json={"ticket": "My card was charged twice."},
        timeout=60,
        trust_env=False,
    )

    told = run(service, "programs", "usage", "--program", "counted", "--from", f"{datetime.now(UTC):%Y-%m-01}")
    as_json = json.loads(run(service, "programs", "usage", "--program", "counted", "--by", "day", "--json").stdout)
    elsewhere = run(service, "programs", "usage", "--program", "counted", "--version", "9", "--to", "2026-01-31")

    assert answer.status_code == httpx.codes.OK, answer.text
    head, row = told.stdout.splitlines()
    assert ": 1 runs, 1 calls and 0 for free, " in head, told.stderr
    assert row == f"  counted@v1: {head.partition(': ')[2]}"
    assert as_json["data"][0]["runs"] == as_json["totals"]["completed"] == 1
    assert elsewhere.stdout.splitlines()[0].endswith(": 0 runs, 0 calls and 0 for free, 0 + 0 tokens, 0.0000 USD")


def test_a_file_that_is_no_json_is_named(service: Started, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("gASV", encoding="utf-8")

    answer = run(service, "programs", "deploy", "copied", "--program", str(tmp_path / "p.json"))

    assert (answer.returncode, answer.stderr) == (1, f"{tmp_path / 'p.json'} holds no JSON object.\n")
