"""The lines between runner and supervisor: length-prefixed JSON over one inherited socket.

A frame is four bytes of big-endian length and that many bytes of a JSON object with a ``t`` (its kind):

=====================  ===========  ==================================================================================
direction              ``t``        fields
=====================  ===========  ==================================================================================
to runner              ``spec``     ``job_id``; ``spec`` (a JobSpec); ``module`` (a ModuleEntry); ``optimizer`` (an
                                    OptimizerEntry); ``roles`` {role: {``model``, ``temperature``, ``max_tokens``,
                                    ``top_p``, ``model_type``, ``extra``, ``capabilities`` {``function_calling``,
                                    ``reasoning``, ``response_schema``, ``params``}}}; ``num_threads``;
                                    ``caps`` {``frame_bytes``, ``log_bytes``, ``output_bytes``}: what is beyond is lost
to runner              ``rows``     ``rows``: a list; ``last``: bool. Frames of at most 1 MiB
to runner              ``answer``   ``id``; ``response`` (lm15 dict) or ``error`` {``kind`` (a ModelErrorKind),
                                    ``message``, ``model``, ``retry_after_seconds``}; ``replayed``: true when an
                                    earlier attempt paid for it
to runner              ``cancel``   nothing: send the newest checkpoint and report what is known (kind ``cancelled``)
to runner              ``stop``     ``reason`` (``budget_exhausted``): compile no further; evaluate the best program
                                    so far on the test split and report it; before the compile: report a failure;
                                    with ``final`` (true): end that evaluation too
to supervisor          ``ready``    ``level``, ``applied`` {…}, ``versions`` {…}, ``pid``
to supervisor          ``lm``       ``id``, ``role``, ``request`` (lm15 dict), ``rollout_id`` (or null), ``candidate``;
                                    ``phase``: what it is asked for. ``compile`` is believed, as it may spend least;
                                    anything else means the phase that was told last
to supervisor          ``status``   ``status``: ``running``
to supervisor          ``phase``    ``phase``: what the calls that follow are for: ``baseline``, ``compile``, ``final``;
                                    each once, in this order. The dry run comes before the first
to supervisor          ``event``    ``type``, ``data``, ``occurred_at`` (UTC, ISO), ``eta_seconds`` (null: unknown)
to supervisor          ``blob``     ``name``, ``data`` (base64), ``last``, ``checkpoint`` (its number; null: of the
                                    final artifact): files in order, those of one set never among those of another
to supervisor          ``checkpoint`` ``number`` (from 1), ``score`` (whole valset), ``result``: a partial RunnerResult.
                                    The blobs of this number are the best program so far, complete. A number whose
                                    blobs break off is void; the next one is higher
to supervisor          ``result``   ``result``: a RunnerResult; ``reason``: ``completed``, ``target_reached``,
                                    ``no_improvement`` or ``budget_exhausted``; a terminal frame
to supervisor          ``failure``  ``failure``: a Failure, of kind ``cancelled`` after a cancel, ``budget_exhausted``
                                    where a budget ended before there was a program; ``partial``: a RunnerResult or
                                    null; a terminal frame
=====================  ===========  ==================================================================================

A closed socket ends the runner at once. Fields that a role leaves out are null.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic_core

from dspy_service.domain.errors import ProtocolError

MAX_FRAME_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 768 * 1024
"""Of raw bytes in one ``blob`` frame: base64 makes it 1 MiB."""
HOST_VALUES = 20_000
"""Of one frame of a host: it takes the one event loop of all tenants some 30 ms to read and check them."""

_LENGTH = struct.Struct("!I")
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?', re.DOTALL)  # one that never ends too, so that it takes one pass

Frame = dict[str, Any]


def encode(frame: Mapping[str, Any], *, max_frame_bytes: int = MAX_FRAME_BYTES, max_values: int | None = None) -> bytes:
    """Return the bytes of one frame.

    Raises:
        ProtocolError: when the frame holds something that is not JSON, is too large or made of too many values.
    """
    try:
        body = pydantic_core.to_json(frame, inf_nan_mode="null")
    except (pydantic_core.PydanticSerializationError, UnicodeEncodeError) as error:
        message = f"A {frame.get('t')!r} frame is not JSON: {error}"
        raise ProtocolError(message) from error
    if len(body) > max_frame_bytes:
        message = f"A {frame.get('t')!r} frame of {len(body)} bytes is larger than {max_frame_bytes}."
        raise ProtocolError(message)
    if max_values is not None:
        refuse_many_values(body, max_values=max_values)
    return pack(body)


def pack(body: bytes) -> bytes:
    """Return the bytes of a frame whose JSON is ready; for what is kept encoded, such as a journalled answer."""
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Collects received bytes and gives the frames that are complete.

    Args:
        max_frame_bytes: A longer frame breaks the protocol as soon as its length is known.
        max_values: So does one whose JSON is made of more values than this, before any of them is made; None: any.
    """

    def __init__(self, *, max_frame_bytes: int = MAX_FRAME_BYTES, max_values: int | None = None) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._max_values = max_values
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add ``data`` and yield every frame that is now whole.

        Raises:
            ProtocolError: for a length over the cap, or a body that is not a JSON object with a ``t``.
        """
        self._buffer += data
        while (body := self._next_body()) is not None:
            if self._max_values is not None:
                refuse_many_values(body, max_values=self._max_values)
            frame = _decode(body)
            del body  # a large frame need not be there twice while it is dealt with
            yield frame

    def _next_body(self) -> bytearray | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > self._max_frame_bytes:
            message = f"A frame announces {length} bytes; at most {self._max_frame_bytes} are allowed."
            raise ProtocolError(message)
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = self._buffer[_LENGTH.size : end]
        del self._buffer[:end]  # moves a start mark; the rest is copied only when most of it is gone
        return body

    @property
    def pending_bytes(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)


def refuse_many_values(body: bytes | bytearray, *, max_values: int) -> None:
    """Refuse JSON that would become too many objects: two bytes of text can cost a hundred of memory.

    Raises:
        ProtocolError: it holds more values than ``max_values``.
    """
    if len(body) <= 2 * max_values:  # a value takes two bytes at least, its comma or bracket included
        return
    most_strings = 2 * max_values  # each value's name, and itself
    bare, strings = _STRINGS.subn(b"", body, count=most_strings + 1)
    if strings > most_strings or sum(bare.count(mark) for mark in (b",", b"[", b"{")) >= max_values:
        message = f"A frame holds more than {max_values} values."
        raise ProtocolError(message)


def _decode(body: bytes | bytearray) -> Frame:
    try:
        frame = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        message = f"A frame is not JSON: {error}"
        raise ProtocolError(message) from error
    if not isinstance(frame, dict) or not isinstance(frame.get("t"), str):
        message = "A frame is not an object with a kind."
        raise ProtocolError(message)
    return frame
