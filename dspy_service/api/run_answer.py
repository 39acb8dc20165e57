"""Makes an answer that takes a while, as long as its client is there to hear it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import Request, Response

CLIENT_GONE = 499
"""What servers write into their logs for a client that closed its connection; nobody gets it."""


async def answered(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """Return the answer; stop making it when the client goes, which nothing else would notice.

    What the client had asked for goes on: see ``on_disconnect``. The request's body must have been read before.
    """
    making = asyncio.ensure_future(answer)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait((making, leaving), return_when=asyncio.FIRST_COMPLETED)
        return making.result() if making.done() else Response(status_code=CLIENT_GONE)
    finally:
        making.cancel()
        leaving.cancel()
        await asyncio.gather(making, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the body was read before
