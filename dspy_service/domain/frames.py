"""The lines between runner and supervisor: length-prefixed JSON over one inherited socket.

A frame is four bytes of big-endian length and that many bytes of a JSON object with a ``t`` (its kind):

=====================  ===========  ==================================================================================
direction              ``t``        fields
=====================  ===========  ==================================================================================
to runner              ``spec``     ``job_id``; ``spec`` (a JobSpec); ``module`` (a ModuleEntry); ``optimizer`` (an
                                    OptimizerEntry); ``roles`` {role: {``model``, ``temperature``, ``max_tokens``,
                                    ``top_p``, ``model_type``, ``extra``, ``capabilities`` {``function_calling``,
                                    ``reasoning``, ``response_schema``, ``params``}}}; ``num_threads``
to runner              ``rows``     ``rows``: a list; ``last``: bool. Frames of at most 1 MiB
to runner              ``answer``   ``id``; ``response`` (lm15 dict) or ``error`` {``kind`` (a ModelErrorKind),
                                    ``message``, ``model``, ``retry_after_seconds``}
to runner              ``cancel``   nothing: stop at the next call and report what is known (kind ``cancelled``)
to supervisor          ``ready``    ``level``, ``applied`` {…}, ``versions`` {…}, ``pid``
to supervisor          ``lm``       ``id``, ``role``, ``request`` (lm15 dict), ``rollout_id`` (or null), ``candidate``
to supervisor          ``status``   ``status``: ``running``
to supervisor          ``event``    ``type``, ``data``, ``occurred_at`` (UTC, ISO), ``eta_seconds`` (null: unknown)
to supervisor          ``blob``     ``name``, ``data`` (base64), ``last``: files of the artifact in order
to supervisor          ``result``   ``result``: a RunnerResult; a terminal frame
to supervisor          ``failure``  ``failure``: a Failure; ``partial``: a RunnerResult or null; a terminal frame
=====================  ===========  ==================================================================================

A closed socket ends the runner at once. Fields that a role leaves out are null.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic_core

from dspy_service.domain.errors import ProtocolError

MAX_FRAME_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 768 * 1024
"""Of raw bytes in one ``blob`` frame: base64 makes it 1 MiB."""

_LENGTH = struct.Struct("!I")

Frame = dict[str, Any]


def encode(frame: Mapping[str, Any]) -> bytes:
    """Return the bytes of one frame.

    Raises:
        ProtocolError: when the frame holds something that is not JSON, or is too large.
    """
    try:
        body = pydantic_core.to_json(frame, inf_nan_mode="null")
    except (pydantic_core.PydanticSerializationError, UnicodeEncodeError) as error:
        message = f"A {frame.get('t')!r} frame is not JSON: {error}"
        raise ProtocolError(message) from error
    if len(body) > MAX_FRAME_BYTES:
        message = f"A {frame.get('t')!r} frame of {len(body)} bytes is larger than {MAX_FRAME_BYTES}."
        raise ProtocolError(message)
    return pack(body)


def pack(body: bytes) -> bytes:
    """Return the bytes of a frame whose JSON is ready; for what is kept encoded, such as a journalled answer."""
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Collects received bytes and gives the frames that are complete."""

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add ``data`` and yield every frame that is now whole.

        Raises:
            ProtocolError: for a length over the cap, or a body that is not a JSON object with a ``t``.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(self._buffer, start)
                if length > self._max_frame_bytes:
                    message = f"A frame announces {length} bytes; at most {self._max_frame_bytes} are allowed."
                    raise ProtocolError(message)
                end = start + _LENGTH.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(self._buffer[start + _LENGTH.size : end])
                start = end
                yield _decode(body)
        finally:
            del self._buffer[:start]

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)


def _decode(body: bytes) -> Frame:
    try:
        frame = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        message = f"A frame is not JSON: {error}"
        raise ProtocolError(message) from error
    if not isinstance(frame, dict) or not isinstance(frame.get("t"), str):
        message = "A frame is not an object with a kind."
        raise ProtocolError(message)
    return frame
