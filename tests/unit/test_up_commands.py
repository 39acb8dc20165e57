"""Who gets which command line and which environment, and where the API may listen."""

import socket

import pytest

from dspy_service.domain.errors import ConfigurationError
from dspy_service.up.binding import base_url, free_port, is_loopback, require_free_port, require_loopback
from dspy_service.up.commands import api_environment, is_provider_key, worker_command, worker_environment

INHERITED = {
    "PATH": "/bin",
    "OPENAI_API_KEY": "sk-1",
    "ANTHROPIC_API_KEY": "sk-2",
    "HF_TOKEN": "hf",
    "AWS_SECRET_ACCESS_KEY": "s3",
    "DSPY_SERVICE_PORT": "8000",
}


def test_the_api_gets_no_provider_key_but_everything_else() -> None:
    assert api_environment(INHERITED) == {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "s3",
        "DSPY_SERVICE_PORT": "8000",
    }


def test_the_worker_gets_the_provider_keys_and_fetches_no_prices() -> None:
    environment = worker_environment(INHERITED)

    assert environment == {**INHERITED, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def test_a_sigterm_reaches_the_worker_as_what_it_is() -> None:
    inherited = {**INHERITED, "REMAP_SIGTERM": "SIGQUIT"}

    assert "REMAP_SIGTERM" not in worker_environment(inherited)


def test_a_persons_own_key_reaches_no_role() -> None:
    inherited = {**INHERITED, "DSPY_SERVICE_API_KEY": "dsk_a.b"}

    assert "DSPY_SERVICE_API_KEY" not in {**api_environment(inherited), **worker_environment(inherited)}


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "openai_api_key", "GEMINI_API_KEY", "HUGGINGFACE_TOKEN", "X_API_KEYS"]
)
def test_names_of_provider_keys_are_known(name: str) -> None:
    assert is_provider_key(name)


@pytest.mark.parametrize("name", ["PATH", "DSPY_SERVICE_ADMIN_API_KEY", "AWS_ACCESS_KEY_ID", "API_KEYBOARD"])
def test_other_names_are_left_alone(name: str) -> None:
    assert not is_provider_key(name)


def test_a_worker_serves_its_queues_with_its_slots() -> None:
    command = worker_command(("jobs", "serving"), 3, log_level="warning")

    assert command[command.index("--queues") + 1] == "jobs,serving"
    assert command[command.index("--concurrency") + 1] == "3"


def test_a_worker_that_only_serves_has_a_name_beside_the_one_for_jobs() -> None:
    serving, jobs = (worker_command((queue,), 1, log_level="warning") for queue in ("serving", "jobs"))

    assert serving[serving.index("--hostname") + 1] == "serving@%h"
    assert "--hostname" not in jobs


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_addresses_are_open_to_this_machine_only(host: str) -> None:
    require_loopback(host)

    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.test"])  # noqa: S104 - refused
def test_any_other_address_is_refused_while_there_are_no_keys(host: str) -> None:
    with pytest.raises(ConfigurationError, match="no API key exists"):
        require_loopback(host)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1 cannot be used"):
            require_free_port("127.0.0.1", port)


def test_a_free_port_can_be_used() -> None:
    require_free_port("127.0.0.1", free_port("127.0.0.1"))


def test_addresses_can_be_typed_into_a_browser() -> None:
    assert (base_url("127.0.0.1", 80), base_url("::1", 80)) == ("http://127.0.0.1:80", "http://[::1]:80")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_has_no_free_port(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on '{host}'"):
        free_port(host)
