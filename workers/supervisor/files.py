"""Collects the files of an artifact from ``blob`` frames."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import pydantic_core

from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, PROGRAM_STATE
from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame

NAMES: Final = frozenset({PROGRAM_PICKLE, PROGRAM_STATE, METADATA})
MAX_TOTAL_BYTES: Final = 128 << 20


class FileCollector:
    """Files by name; a file counts once its last piece has come."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[bytes]] = {}
        self._whole: dict[str, bytes] = {}
        self._total_bytes = 0

    def take(self, frame: Frame) -> None:
        """Add one piece.

        Raises:
            ProtocolError: an unknown or finished name, bytes that are not base64, or too many of them.
        """
        name, data = frame.get("name"), frame.get("data")
        if not isinstance(name, str) or name not in NAMES - self._whole.keys() or not isinstance(data, str):
            raise ProtocolError(f"A runner may not send a file {str(name)[:40]!r} now.")
        try:
            piece = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError(f"A piece of {name} is not base64.") from error
        self._total_bytes += len(piece)
        if self._total_bytes > MAX_TOTAL_BYTES:
            raise ProtocolError(f"The artifact is larger than {MAX_TOTAL_BYTES} bytes.")
        self._pieces.setdefault(name, []).append(piece)
        if frame.get("last") is True:
            content = b"".join(self._pieces.pop(name))
            _check(name, content)
            self._whole[name] = content

    def whole(self) -> Mapping[str, bytes]:
        """Return the files that are complete."""
        return dict(self._whole)


def _check(name: str, content: bytes) -> None:
    """Look into the one file that others read as data; the program's own files are opaque here."""
    if name != METADATA:
        return
    try:
        metadata = pydantic_core.from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise ProtocolError(f"{name} is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise ProtocolError(f"{name} is not an object.")
