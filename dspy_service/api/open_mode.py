"""Keeps web pages out of a service that has no keys because only this machine reaches it."""

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from dspy_service.api.envelope import error_answer
from dspy_service.api.headers import request_id_of

_WHY = (
    "This service runs in open mode, for this machine only: {what}. "
    "To serve others, its operator sets DSPY_SERVICE_HOST to the address it listens on."
)


class LoopbackOnly:
    """Refuses a Host that is no loopback name (DNS rebinding) and an Origin from elsewhere (a foreign web page)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what comes from this machine's own programs and pages."""
        if scope["type"] == "http":
            headers = Request(scope).headers
            if not _names_loopback(f"//{headers.get('host', '')}"):
                await self._refuse("the Host header must name it by a loopback address", scope, receive, send)
                return
            origin = headers.get("origin")
            if origin is not None and not _names_loopback(origin):
                await self._refuse("a web page from another origin may not call it", scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refuse(self, what: str, scope: Scope, receive: Receive, send: Send) -> None:
        answer = error_answer(request_id_of(scope), 403, "forbidden", _WHY.format(what=what))
        await answer(scope, receive, send)


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:  # half an IPv6 address
        return False


def is_loopback(host: str | None) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
