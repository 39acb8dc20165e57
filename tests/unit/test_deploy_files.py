"""The container files keep the promises that the README makes about them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dspy_service.up.commands import is_provider_key

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "serving", "flower")
WORKERS = ("worker", "serving")


def environment(service: str) -> dict[str, str | None]:
    return dict(SERVICES[service].get("environment", {}))


def test_the_five_parts_are_there_and_flower_only_on_demand() -> None:
    assert set(SERVICES) == {"api", "worker", "serving", "redis", "flower"}
    assert SERVICES["flower"]["profiles"] == ["monitoring"]
    assert not [name for name in ("api", "worker", "serving", "redis") if "profiles" in SERVICES[name]]


def test_only_loopback_of_the_host_is_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"api": ["127.0.0.1:8000:8000"], "flower": ["127.0.0.1:5555:5555"]}


def test_the_api_starts_by_the_command_that_asks_for_a_key_beyond_loopback() -> None:
    assert SERVICES["api"]["command"] == ["dspy-service", "api", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104 - read, not bound
    assert "DSPY_SERVICE_HOST" not in environment("api")


@pytest.mark.parametrize("name", ["api", *WORKERS])
def test_api_and_workers_read_the_same_further_settings(name: str) -> None:
    assert SERVICES[name]["env_file"] == [{"path": "service.env", "required": False}]


def test_each_queue_has_a_worker() -> None:
    queues = [SERVICES[name]["command"][SERVICES[name]["command"].index("--queues") + 1] for name in WORKERS]

    assert queues == ["jobs", "serving"]


def test_redis_keeps_an_append_only_file_on_a_volume_and_evicts_nothing() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))

    assert options == {"--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"}
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


def test_flower_is_read_only_and_refuses_to_start_without_a_password() -> None:
    script = SERVICES["flower"]["command"][-1]

    assert "--read_only=True" in script
    assert "$${FLOWER_BASIC_AUTH:?" in script
    assert environment("flower")["FLOWER_BASIC_AUTH"] is None, "a default password would be everybody's"


def test_provider_keys_reach_the_workers_alone_and_none_is_written_down() -> None:
    holders = {name for name in SERVICES for variable in environment(name) if is_provider_key(variable)}
    written = [value for name in SERVICES for key, value in environment(name).items() if is_provider_key(key) and value]

    assert holders == set(WORKERS)
    assert written == []


@pytest.mark.parametrize("name", OURS)
def test_our_containers_change_nothing_and_gain_nothing(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"] == 1024


@pytest.mark.parametrize("name", OURS)
def test_our_containers_wait_for_a_healthy_redis(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert environment(name)["DSPY_SERVICE_REDIS_URL"] == "redis://redis:6379/0"


def test_api_and_workers_share_the_artifacts() -> None:
    for name in ("api", *WORKERS):
        assert "data:/data" in SERVICES[name]["volumes"]
    assert "DSPY_SERVICE_ARTIFACTS_URL=/data/artifacts" in DOCKERFILE
    assert "DSPY_SERVICE_DATA_DIR=/data" in DOCKERFILE, "and with it the secret key"


def test_answers_that_a_long_job_spools_fill_a_volume_and_no_memory() -> None:
    folder = environment("worker")["TMPDIR"]

    assert f"spool:{folder}" in SERVICES["worker"]["volumes"]
    assert "spool" in COMPOSE["volumes"]
    assert re.search(rf"install -d -o service -g service -m 700 .*{folder}\b", DOCKERFILE), "or it belongs to root"
    assert {tuple(SERVICES[name]["tmpfs"]) for name in OURS} == {("/tmp:size=256m",)}  # noqa: S108 - of the containers


def test_the_image_runs_as_a_user_who_owns_only_the_data() -> None:
    last_stage = DOCKERFILE.split("\nFROM ")[-1]

    assert re.search(r"^USER service$", last_stage, re.MULTILINE)
    assert "install -d -o service -g service -m 700 /data" in last_stage
    assert "--chown" not in DOCKERFILE


def test_the_image_installs_from_a_lock_with_hashes() -> None:
    assert "--require-hashes --no-deps -r deploy/requirements.lock" in DOCKERFILE


def test_what_the_image_copies_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line[0] == "!"}
    copied = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    sources = {source.split("/")[0] for line in copied for source in line.split()[:-1]}

    assert sources <= allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []
