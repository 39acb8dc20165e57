"""From open mode to keys, as an operator types it: the first key, a service that others reach, and the end of a key."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dspy_service.up.binding import free_port
from tests.support.payloads import ticket_request
from tests.support.platforms import ROOT, plain_environment, platform, short_folder

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).with_name("dspy-service")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = plain_environment(
        DSPY_SERVICE_DATA_DIR=str(folder / "data"), DSPY_SERVICE_ARTIFACTS_URL=str(folder / "artifacts"), **variables
    )
    return subprocess.run(  # noqa: S603 - our own program
        [PROGRAM, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


def test_without_a_key_no_public_address_is_served(folder: Path) -> None:
    refused = run(folder, "up", "--host", "0.0.0.0", "--port", str(free_port("127.0.0.1")))  # noqa: S104 - refused

    assert refused.returncode == 1
    assert refused.stderr == (
        "Listening on '0.0.0.0' would give everyone who reaches it the use of your models, and no API key exists; "
        "create one with `dspy-service keys create --direct --admin`, or set DSPY_SERVICE_HOST to 127.0.0.1.\n"
    )


def test_the_first_key_comes_from_the_operator_and_the_next_from_it(folder: Path) -> None:
    first = run(folder, "keys", "create", "--direct", "--admin", "--name", "first")
    token = first.stdout.strip()
    canary = token.partition(".")[2]

    with platform(folder, {"LOG_LEVEL": "debug"}) as service:
        service.wait_until_ready()
        url = ("--url", service.base_url)
        mine = {"DSPY_SERVICE_API_KEY": token}
        anonymous = httpx.post(f"{service.base_url}/run", json=ticket_request(), trust_env=False)
        second = run(folder, "keys", "create", "--name", "ci", "--days", "1", *url, **mine)
        listed = run(folder, "keys", "list", *url, **mine)
        theirs = {"DSPY_SERVICE_API_KEY": second.stdout.strip()}
        not_theirs = run(folder, "keys", "list", *url, **theirs)
        key_id = second.stdout.partition(".")[0].removeprefix("dsk_")
        revoked = run(folder, "keys", "revoke", key_id, *url, **mine)
        closed = run(folder, "status", "0", *url, **theirs)
        beside = run(folder, "keys", "list", "--direct")

    assert first.returncode == second.returncode == listed.returncode == revoked.returncode == beside.returncode == 0
    assert anonymous.status_code == 401
    assert [line.count('"name":"first"') + line.count('"name":"ci"') for line in listed.stdout.splitlines()] == [1, 1]
    assert "scope_missing (403)" in not_theirs.stderr
    assert "unauthenticated (401)" in closed.stderr
    assert beside.stdout.count("\n") == 2
    assert canary not in service.output + listed.stdout + beside.stdout


def test_a_wrong_tenant_is_one_sentence(folder: Path) -> None:
    refused = run(folder, "keys", "create", "--direct", "--tenant", "a/b")

    assert refused.returncode == 1
    assert refused.stderr.startswith("tenant: 'a/b' is no tenant's name")
    assert len(refused.stderr.splitlines()) == 1
