"""Settings are read once, strictly: a typo or an impossible value is a sentence, not a surprise."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from dspy_service.config import Settings, load_settings
from dspy_service.domain.errors import ConfigurationError
from dspy_service.settings_table import settings_table


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DSPY_SERVICE_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()

    assert (settings.host, settings.port, settings.redis_url) == ("127.0.0.1", 8000, "")
    assert (settings.data_dir, settings.artifacts_url) == (Path("data"), "artifacts")
    assert (settings.lease_seconds, settings.heartbeat_seconds, settings.worker_concurrency) == (15, 1, 2)
    assert settings.sandbox_min_level == "L2"
    assert settings.max_body_bytes == 8 * 1024 * 1024
    assert settings.allowed_base_urls == settings.allowed_models == ()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DSPY_SERVICE_PORT=9000\nDSPY_SERVICE_HOST=::1\nOPENAI_API_KEY=sk-x\n")
    monkeypatch.setenv("DSPY_SERVICE_PORT", "9001")

    settings = load_settings()

    assert (settings.port, settings.host) == (9001, "::1")


def test_lists_are_separated_by_commas_and_origins_are_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_ALLOWED_BASE_URLS", "http://LLM.example:80/v1 , https://other.example")
    monkeypatch.setenv("DSPY_SERVICE_ALLOWED_MODELS", "openai/gpt-4o-mini,demo/in-context,")

    settings = load_settings()

    assert settings.allowed_base_urls == ("http://llm.example:80", "https://other.example:443")
    assert settings.allowed_models == ("openai/gpt-4o-mini", "demo/in-context")


def test_the_key_of_a_client_may_stand_in_the_same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_API_KEY", "dsk_a.b")

    assert not hasattr(load_settings(), "api_key")


def test_pages_are_origins_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_CORS_ORIGINS", "https://App.example:443, http://localhost:3000")

    assert load_settings().cors_origins == ("https://app.example", "http://localhost:3000")


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_PORT", "")

    settings = load_settings()

    assert settings.port == 8000


@pytest.mark.parametrize("where", ["environment", "file"])
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if where == "environment":
        monkeypatch.setenv("DSPY_SERVICE_REDIS_ULR", "redis://localhost")
    else:
        (tmp_path / ".env").write_text("DSPY_SERVICE_REDIS_ULR=redis://localhost\n")

    with pytest.raises(
        ConfigurationError, match="no setting DSPY_SERVICE_REDIS_ULR; did you mean DSPY_SERVICE_REDIS_URL"
    ):
        load_settings()


def test_a_variable_that_is_like_nothing_gets_the_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_XYZZYXYZZYXYZZYXYZZY", "1")

    with pytest.raises(ConfigurationError, match="known are DSPY_SERVICE_HOST, DSPY_SERVICE_PORT"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "abc", "DSPY_SERVICE_PORT is 'abc': input should be a valid integer"),
        ("PORT", "70000", "DSPY_SERVICE_PORT is '70000': input should be less than or equal to 65535"),
        ("REDIS_URL", ":pw@localhost:6379", "DSPY_SERVICE_REDIS_URL is not usable: it must start with redis://"),
        ("SANDBOX_MIN_LEVEL", "L0", "DSPY_SERVICE_SANDBOX_MIN_LEVEL is 'L0': input should be 'L1' or 'L2'"),
        ("ALLOWED_BASE_URLS", "llm.example", "DSPY_SERVICE_ALLOWED_BASE_URLS is "),
        ("LOG_LEVEL", "chatty", "DSPY_SERVICE_LOG_LEVEL is 'chatty'"),
        ("HEARTBEAT_SECONDS", "10", "DSPY_SERVICE_HEARTBEAT_SECONDS is 10; make it at most a third"),
    ],
)
def test_an_impossible_value_is_one_sentence(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DSPY_SERVICE_{name}", value)

    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as caught:
        load_settings()

    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # that it cannot be set is the point


def test_the_table_tells_every_setting_with_a_sentence() -> None:
    rows = settings_table().split("\n")

    assert len(rows) == len(Settings.model_fields)
    assert "| `DSPY_SERVICE_PORT` | `8000` | Port that the API listens on. |" in rows
    assert all(row.count("|") == 4 and row.endswith(". |") for row in rows)


def test_a_request_may_lower_what_the_settings_allow() -> None:
    settings = Settings(job_seconds=10, runner_threads=32, stall_seconds=5)

    limits = settings.job_limits

    assert (limits.max_seconds, limits.threads, limits.stall_seconds) == (10, 32, 5)
    assert (limits.memory_bytes, limits.cpu_seconds) == (2 * 1024**3, 43_200)
    assert None not in limits.model_dump().values()
