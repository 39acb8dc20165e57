"""The HTTP API as a process of its own, over a Valkey that a test may kill; the test itself plays the worker."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.up.binding import free_port
from tests.support.platforms import Started, plain_environment, started
from tests.support.processes import wait_until


@dataclass(frozen=True)
class Api:
    """A running API, and what it stands on."""

    program: Started
    store: EmbeddedValkey
    folder: Path
    settings: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.program.base_url

    @contextmanager
    def sibling(self) -> Iterator["Api"]:
        """Start another one beside it, over the same store."""
        with _api(self.store, self.folder, free_port("127.0.0.1"), self.settings) as api:
            yield api

    @contextmanager
    def successor(self) -> Iterator["Api"]:
        """Start another one at the same address, once the first has stopped."""
        with _api(self.store, self.folder, int(self.url.rpartition(":")[2]), self.settings) as api:
            yield api


@contextmanager
def api_process(**settings: str) -> Iterator[Api]:
    """Run store and API around the block; settings are named without their prefix."""
    folder = Path(tempfile.mkdtemp(prefix="dspy-"))
    try:
        with (
            EmbeddedValkey.start(folder / "data") as store,
            _api(store, folder, free_port("127.0.0.1"), settings) as api,
        ):
            yield api
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _api(store: EmbeddedValkey, folder: Path, port: int, settings: Mapping[str, str]) -> Iterator[Api]:
    environment = plain_environment(
        DSPY_SERVICE_REDIS_URL=store.url,
        DSPY_SERVICE_DATA_DIR=str(folder / "data"),
        DSPY_SERVICE_ARTIFACTS_URL=str(folder / "artifacts"),
        **{f"DSPY_SERVICE_{name}": value for name, value in settings.items()},
    )
    command = [str(Path(sys.executable).with_name("dspy-service")), "api", "--port", str(port)]
    with started(command, environment, port=port) as program:
        wait_until(lambda: _listens(program), seconds=60)
        yield Api(program, store, folder, settings)


def _listens(program: Started) -> bool:
    assert program.process.poll() is None, program.output
    try:
        return httpx.get(f"{program.base_url}/health/live", trust_env=False, timeout=2).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
