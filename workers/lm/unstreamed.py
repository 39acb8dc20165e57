"""Reads the answer of a chat server that was asked to stream and answers at once: some cannot, some ignore the wish."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from dspy._vendor.lm15.transports import AsyncTransportResponse, TransportRequest  # not re-exported by dspy.lm15

_OK: Final = 200


def came_at_once(request: TransportRequest, response: AsyncTransportResponse) -> bool:
    """Tell whether a stream of chunks was asked for, and one JSON document came."""
    kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
    is_whole = response.status == _OK and kind == "application/json" and request.url.endswith("/chat/completions")
    return is_whole and _object(request.body).get("stream") is True


async def as_stream(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a completion as the one chunk of a stream; nothing for what is none."""
    whole = _object(b"".join([part async for part in body]))
    if not whole:
        return
    for choice in _dicts(whole.get("choices")):
        choice["delta"] = choice.pop("message", None)
        calls = _dicts(choice["delta"].get("tool_calls")) if isinstance(choice["delta"], dict) else []
        for index, call in enumerate(calls):
            call["index"] = index
    yield b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(whole).encode()


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _dicts(found: object) -> list[dict[str, Any]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
