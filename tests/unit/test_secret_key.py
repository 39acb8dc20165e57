"""The service's own secret: given, or made once, and never where others may read it."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.adapters.secret_key import load_secret_key
from dspy_service.config import Settings, load_settings
from dspy_service.domain.errors import ConfigurationError
from dspy_service.usecases.check_secret_key import check_secret_key

GIVEN = "a secret of thirty-two characters"


def settings_in(folder: Path, **changes: str) -> Settings:
    return Settings(_env_file=None, data_dir=folder, **changes)


def test_a_given_key_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    key = load_secret_key(settings_in(tmp_path / "data", secret_key=GIVEN))

    assert key == GIVEN.encode()
    assert not (tmp_path / "data").exists()


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = load_secret_key(settings_in(tmp_path / "data"))
    second = load_secret_key(settings_in(tmp_path / "data"))

    assert first == second
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret.key"]
    assert load_secret_key(settings_in(tmp_path / "other")) != first


def test_the_text_of_the_file_is_the_same_key_as_a_setting(tmp_path: Path) -> None:
    made = load_secret_key(settings_in(tmp_path))

    given = load_secret_key(settings_in(tmp_path / "x", secret_key=(tmp_path / "secret.key").read_text().strip()))

    assert given == made


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(load_secret_key, [settings_in(tmp_path / "data")] * 64))

    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_may_read_is_refused(mode: int, tmp_path: Path) -> None:
    load_secret_key(settings_in(tmp_path))
    (tmp_path / "secret.key").chmod(mode)

    with pytest.raises(ConfigurationError, match="others may read it"):
        load_secret_key(settings_in(tmp_path))


def test_a_key_file_that_is_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(GIVEN)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "secret.key").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "secret.key", 0o600)

    for folder in ("link", "pipe"):
        with pytest.raises(ConfigurationError, match="DSPY_SERVICE_SECRET_KEY"):
            load_secret_key(settings_in(tmp_path / folder))


def test_a_key_that_is_too_short_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.key").write_text("short")
    (tmp_path / "secret.key").chmod(0o600)

    with pytest.raises(ConfigurationError, match="shorter than 32"):
        load_secret_key(settings_in(tmp_path))
    monkeypatch.setenv("DSPY_SERVICE_SECRET_KEY", "hunter2")
    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_SECRET_KEY is not usable: it must have 32") as caught:
        load_settings(env_file=None)
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_SECRET_KEY"):
        load_secret_key(settings_in(tmp_path / "file" / "data"))


async def test_a_second_process_needs_the_key_of_the_first() -> None:
    jobs = MemoryJobStore()
    await check_secret_key(b"one" * 11, jobs=jobs)
    await check_secret_key(b"one" * 11, jobs=jobs)

    with pytest.raises(ConfigurationError, match="another secret key"):
        await check_secret_key(b"two" * 11, jobs=jobs)
