"""A real loopback server that speaks OpenAI's chat completions, with scripted answers, latency and faults.

In a test::

    with OpenAIServer(always("42")) as server:
        settings = ModelSettings(name="openai/test", base_url=server.base_url)

As a process, in front of the demo learner::

    python -m tests.support.openai_server --port 0 --latency-ms 50
"""

import argparse
import asyncio
import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from tests.support.openai_stream import stream_answer
from workers.lm.demo.answering import answer as demo_answer

Body = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What the server does with one request; ``raw`` replaces the JSON body, ``hang_up`` closes without an answer."""

    text: str = ""
    status: int = 200
    delay_seconds: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    has_usage: bool = True
    """Whether it says how many tokens it took."""
    raw: bytes | None = None
    hang_up: bool = False
    pieces: Sequence[str] | None = None
    """How a streamed answer is cut; None: into words."""
    piece_seconds: float = 0.0
    """Before each piece but the first."""
    breaks_after: int | None = None
    """Pieces after which a streamed answer ends in a closed connection."""
    finish_reason: str = "stop"


Script = Callable[[Body], Reply]


@dataclass
class Received:
    """One request as it arrived; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Body
    arrived_at: float = field(default_factory=time.monotonic)
    answered_at: float | None = None
    """Just before its answer was sent, if anybody was there to take it; None while it is open."""
    reply: Reply | None = None
    """What the script decided."""
    pieces_sent: int = 0
    """Of a streamed answer."""
    closed_at: float | None = None
    """When the client was gone before its streamed answer ended."""

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


def always(text: str, *, delay_seconds: float = 0.0) -> Script:
    """Answer everything with one text."""
    return lambda _body: Reply(text, delay_seconds=delay_seconds)


def demo_learner(*, seed: int = 0, delay_seconds: float = 0.0) -> Script:
    """Answer as the demo model does, so that a better prompt really scores better."""

    def script(body: Body) -> Reply:
        messages = [{"role": m["role"], "content": _plain(m["content"])} for m in body["messages"]]
        text = demo_answer(messages, seed=seed, temperature=body.get("temperature") or 0.0)
        return Reply(text, delay_seconds=delay_seconds)

    return script


def without_usage(script: Script) -> Script:
    """Answer as ``script`` does, and say nothing about tokens."""
    return lambda body: replace(script(body), has_usage=False)


def in_order(*replies: Reply) -> Script:
    """Give each reply once; the last one goes on."""
    remaining = itertools.chain(replies, itertools.repeat(replies[-1]))
    return lambda _body: next(remaining)


def error(status: int, *, retry_after: str | None = None, message: str = "scripted", code: str | None = None) -> Reply:
    """Refuse as OpenAI does."""
    raw = json.dumps({"error": {"message": message, "type": "scripted", "code": code}}).encode()
    return Reply(status=status, raw=raw, headers={} if retry_after is None else {"Retry-After": retry_after})


class OpenAIServer:
    """The server on a thread of its own; a context manager.

    Args:
        script: Decides about each request.
        port: 0 takes a free one.
    """

    def __init__(self, script: Script, *, port: int = 0) -> None:
        self.script = script
        self.received: list[Received] = []
        self.in_flight = 0
        self.peak_in_flight = 0
        self._port = port
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="openai-server", daemon=True)
        self._numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                self.received.append(request)
                reply = request.reply = self.script(request.body)
                self.in_flight += 1
                self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
                try:
                    await asyncio.sleep(reply.delay_seconds)
                finally:
                    self.in_flight -= 1
                request.answered_at = time.monotonic()
                if reply.hang_up:
                    return
                if request.body.get("stream") and reply.raw is None:
                    if not await stream_answer(request, reply, reader, writer):
                        return
                    continue
                writer.write(_http(reply, self._completion(request.body, reply)))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a client that was killed
        finally:
            writer.close()

    def _completion(self, body: Body, reply: Reply) -> bytes:
        if reply.raw is not None:
            return reply.raw
        prompt = reply.prompt_tokens
        if prompt is None:
            prompt = sum(len(_plain(message["content"]).split()) for message in body["messages"])
        completion = len(reply.text.split()) if reply.completion_tokens is None else reply.completion_tokens
        text = "".join(reply.pieces) if reply.pieces is not None else reply.text
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return json.dumps(
            {
                "id": f"chatcmpl-{next(self._numbers)}",
                "object": "chat.completion",
                "created": 1,
                "model": body.get("model"),
                "choices": [{"index": 0, "finish_reason": reply.finish_reason, "message": message}],
                **({"usage": usage} if reply.has_usage else {}),
            }
        ).encode()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split(" ")[1], headers, json.loads(body) if body else {})


def _http(reply: Reply, body: bytes) -> bytes:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Scripted\r\n{lines}\r\n".encode("latin-1") + body


def _plain(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", help="answer everything with this instead of the demo learner")
    options = parser.parse_args()
    delay = options.latency_ms / 1000
    script = (
        demo_learner(seed=options.seed, delay_seconds=delay)
        if options.text is None
        else always(options.text, delay_seconds=delay)
    )
    with OpenAIServer(script, port=options.port) as server:
        print(f"listening on {server.base_url}", flush=True)  # noqa: T201  # how the caller learns the port
        threading.Event().wait()


if __name__ == "__main__":
    main()
