"""Gives every request an id, and every answer the headers that keep browsers careful."""

import re
import uuid
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""On every answer. Strict-Transport-Security belongs to the proxy that ends TLS."""


class AnswerHeaders:
    """Takes the client's ``X-Request-ID`` when it is harmless, else draws one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with its id in the scope."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _sent_id(scope) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def request_id_of(scope: Scope) -> str:
    """Return the id that this request was given."""
    request_id: str = scope["state"]["request_id"]
    return request_id


def _sent_id(scope: Scope) -> str | None:
    sent = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return sent[0].decode() if sent and _SAFE_ID.fullmatch(sent[0]) else None
