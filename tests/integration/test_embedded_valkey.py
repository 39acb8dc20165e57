"""The embedded store: a real server that keeps its data, guards its folder and dies with its parent."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.domain.errors import ConfigurationError
from tests.support.processes import is_alive, wait_until

STARTS_AND_SLEEPS = """
import sys, time
from pathlib import Path
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
print(EmbeddedValkey.start(Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    short = Path(tempfile.mkdtemp(prefix="dspy-"))
    yield short
    shutil.rmtree(short)


def test_what_was_written_is_there_after_a_restart(folder: Path) -> None:
    with EmbeddedValkey.start(folder / "data") as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")

    with EmbeddedValkey.start(folder / "data") as server, redis.Redis.from_url(server.url) as client:
        assert client.get("kept") == b"yes"


def test_a_killed_server_comes_back_at_its_address_with_its_data(folder: Path) -> None:
    with EmbeddedValkey.start(folder) as server, redis.Redis.from_url(server.url) as client:
        client.set("kept", "yes")
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.running)

        server.revive()

        assert client.get("kept") == b"yes"


def test_only_this_user_reaches_it_and_nothing_is_evicted(folder: Path) -> None:
    with EmbeddedValkey.start(folder / "data") as server, redis.Redis.from_url(server.url) as client:
        settings = client.config_get("*")

        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        assert settings["port"] == "0"
        assert settings["maxmemory-policy"] == "noeviction"
        assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "everysec")


def test_a_second_server_on_the_same_folder_is_refused_by_name(folder: Path) -> None:
    with (
        EmbeddedValkey.start(folder),
        pytest.raises(ConfigurationError, match=f"already in use by pid {os.getpid()}"),
    ):
        EmbeddedValkey.start(folder)


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)

    with EmbeddedValkey.start(deep) as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert server.socket_path.parent != deep
        assert stat.S_IMODE(server.socket_path.parent.stat().st_mode) == 0o700

    assert not server.socket_path.parent.exists()
    assert deep.exists()


def test_a_folder_that_is_a_file_is_one_sentence(folder: Path) -> None:
    (folder / "file").write_text("", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="choose another folder"):
        EmbeddedValkey.start(folder / "file")


def test_data_that_the_server_cannot_read_is_one_sentence_with_its_last_words(folder: Path) -> None:
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"ended with code 1; .*valkey\.log ends: "):
        EmbeddedValkey.start(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_killed_parent_takes_the_server_along_and_frees_the_folder(folder: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", STARTS_AND_SLEEPS, folder], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())

        parent.kill()
        killed_at = time.monotonic()
        wait_until(lambda: not is_alive(server_pid))

    assert time.monotonic() - killed_at < 5
    EmbeddedValkey.start(folder).stop()
