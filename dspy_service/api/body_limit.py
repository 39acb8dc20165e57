"""Stops reading a request body once it is too large."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dspy_service.domain.errors import PayloadTooLargeError


class BodyLimit:
    """Counts received bytes, because a Content-Length may be absent or lie.

    The error is raised out of ``receive``, inside the route that reads the body, so that it becomes an ordinary 413.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on with a ``receive`` that counts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _announced_bytes(scope)
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            if announced > self._max_bytes:  # do not even read it
                raise PayloadTooLargeError(self._max_bytes)
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise PayloadTooLargeError(self._max_bytes)
            return message

        await self._app(scope, counting_receive, send)


def _announced_bytes(scope: Scope) -> int:
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(values[0]) if values and values[0].isdigit() else 0
