"""Reads a provider's answers up to a size: an endpoint that a client named may send what it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from dspy._vendor.lm15.transports import (  # not re-exported by dspy.lm15
    AsyncTransportResponse,
    StdlibAsyncTransport,
    TransportRequest,
)

from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.model_errors import ModelErrorKind
from workers.lm.unstreamed import as_stream, came_at_once

MAX_ANSWER_BYTES: Final = 4 << 20


class CappedTransport(StdlibAsyncTransport):  # type: ignore[misc]  # DSPy is untyped
    """DSPy's own transport; an answer that goes on past the cap is left unread and its connection closed.

    Args:
        max_answer_bytes: Of one body, decompressed.
        options: Of DSPy's transport.
    """

    def __init__(self, *, max_answer_bytes: int = MAX_ANSWER_BYTES, **options: Any) -> None:  # noqa: ANN401  # DSPy's
        super().__init__(**options)
        self._max_answer_bytes = max_answer_bytes

    @asynccontextmanager
    async def stream(self, request: TransportRequest) -> AsyncIterator[AsyncTransportResponse]:
        """Send a request; raises ModelCallError while the body is read, once it is too large."""
        async with super().stream(request) as whole:

            async def release(_body_consumed: bool) -> None:  # noqa: FBT001  # DSPy's own signature
                await whole.aclose()

            chunks = self._capped(whole)
            yield AsyncTransportResponse(
                status=whole.status,
                reason=whole.reason,
                headers=whole.headers,
                http_version=whole.http_version,
                chunks=as_stream(chunks) if came_at_once(request, whole) else chunks,
                release=release,
            )

    async def _capped(self, whole: AsyncTransportResponse) -> AsyncIterator[bytes]:
        left = self._max_answer_bytes
        async for chunk in whole:
            left -= len(chunk)
            if left < 0:
                message = f"The model's answer is larger than the {self._max_answer_bytes} bytes that are read."
                raise ModelCallError(ModelErrorKind.PROVIDER, message)
            yield chunk
