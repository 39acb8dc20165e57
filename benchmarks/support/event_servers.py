"""Two servers of event streams to compare: the API over its store, and the same framework with nothing behind it.

``python -m benchmarks.support.event_servers PORT`` runs the bare one.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from benchmarks.support.measured_platform import ROOT
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.up.binding import free_port

_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0


@contextmanager
def service() -> Iterator[tuple[str, str]]:
    """Run store and API; yield the addresses of both, the API's first."""
    with tempfile.TemporaryDirectory(prefix="dspy-benchmark-") as name:
        folder = Path(name)
        with EmbeddedValkey.start(folder / "data") as store:
            port = free_port("127.0.0.1")
            command = [str(Path(sys.executable).with_name("dspy-service")), "api", "--port", str(port)]
            settings = {
                "DSPY_SERVICE_REDIS_URL": store.url,
                "DSPY_SERVICE_ARTIFACTS_URL": str(folder / "artifacts"),
                "DSPY_SERVICE_DATA_DIR": str(folder / "data"),
            }
            with _process(command, settings, f"http://127.0.0.1:{port}/health/live"):
                yield f"http://127.0.0.1:{port}", store.url


@contextmanager
def bare_server() -> Iterator[str]:
    """Run the bare server and yield its address."""
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "benchmarks.support.event_servers", str(port)]
    with _process(command, {}, f"http://127.0.0.1:{port}/live"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _process(command: list[str], settings: Mapping[str, str], live_url: str) -> Iterator[None]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")}
    process = subprocess.Popen(command, cwd=ROOT, env={**inherited, **settings})  # noqa: S603  # our own
    try:
        _wait_until_live(process, live_url)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_live(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, trust_env=False, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.1)
    message = f"{url} did not answer within {_READY_SECONDS:g} s."
    raise SystemExit(message)


def bare_app() -> FastAPI:
    """Return an application that sends whatever is posted to everybody who reads; it keeps nothing."""
    app = FastAPI()
    readers: set[asyncio.Queue[bytes]] = set()

    async def messages() -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        readers.add(queue)
        try:
            yield b"retry: 1500\n\n"
            while True:
                yield await queue.get()
        finally:
            readers.discard(queue)

    @app.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(messages(), media_type="text/event-stream")

    @app.post("/publish")
    async def publish(request: Request) -> None:
        message = b"event: log\ndata: %b\n\n" % await request.body()
        for queue in readers:
            queue.put_nowait(message)

    return app


if __name__ == "__main__":
    uvicorn.run(bare_app(), port=int(sys.argv[1]), log_level="warning", access_log=False)
