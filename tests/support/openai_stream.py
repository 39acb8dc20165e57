"""A streamed answer of the loopback OpenAI server: chunks of SSE, with a look-out for a client that leaves."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.openai_server import Received, Reply

_WORD = re.compile(r"\s*\S+|\s+$")
_HEAD = b"HTTP/1.1 200 Scripted\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def stream_answer(
    request: "Received", reply: "Reply", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Send a reply piece by piece; False when the connection cannot be used again."""
    writer.write(_HEAD)
    gone = asyncio.ensure_future(reader.read(1))
    try:
        if not await _send_pieces(request, reply, writer, gone):
            return False
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone
    usage = _usage(request.body, reply)
    last = [_chunk(request.body, {}, finish_reason=reply.finish_reason), _chunk(request.body, None, usage=usage)]
    for data in (*last, "[DONE]"):
        writer.write(_http_chunk(data))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _send_pieces(
    request: "Received", reply: "Reply", writer: asyncio.StreamWriter, gone: "asyncio.Future[bytes]"
) -> bool:
    for number, piece in enumerate(pieces_of(reply)):
        if number == reply.breaks_after:
            return False
        if number and reply.piece_seconds:
            await asyncio.wait({gone}, timeout=reply.piece_seconds)
        if gone.done():
            request.closed_at = time.monotonic()
            return False
        writer.write(_http_chunk(_chunk(request.body, {"role": "assistant", "content": piece})))
        await writer.drain()
        request.pieces_sent += 1
    return True


def pieces_of(reply: "Reply") -> Sequence[str]:
    """Return the answer as it is cut."""
    return _WORD.findall(reply.text) if reply.pieces is None else reply.pieces


def _chunk(body: dict[str, Any], delta: dict[str, Any] | None, **more: object) -> str:
    finish = more.pop("finish_reason", None)
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body.get("model")}
    return json.dumps({**head, "choices": choices, **more})


def _usage(body: dict[str, Any], reply: "Reply") -> dict[str, int]:
    words = sum(len(str(message["content"]).split()) for message in body["messages"])
    prompt = words if reply.prompt_tokens is None else reply.prompt_tokens
    completion = len(pieces_of(reply)) if reply.completion_tokens is None else reply.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _http_chunk(data: str) -> bytes:
    event = f"data: {data}\n\n".encode()
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"
