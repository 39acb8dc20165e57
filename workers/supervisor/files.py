"""Collects the files of an artifact from ``blob`` frames."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import pydantic_core

from dspy_service.domain.artifact_paths import METADATA, PROGRAM_FILES
from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame, refuse_many_values
from workers.supervisor.plain_data import MAX_VALUES, plain

NAMES: Final = frozenset(PROGRAM_FILES)
MAX_METADATA_BYTES: Final = 1 << 20


class FileCollector:
    """Files by name; a file counts once its last piece has come.

    Args:
        max_bytes: Of all files together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._files: dict[str, bytearray] = {}
        self._whole: set[str] = set()
        self._total_bytes = 0

    def take(self, frame: Frame) -> None:
        """Add one piece.

        Raises:
            ProtocolError: an unknown or finished name, bytes that are not base64, or too many of them.
        """
        name, data = frame.get("name"), frame.get("data")
        if not isinstance(name, str) or name not in NAMES - self._whole or not isinstance(data, str):
            raise ProtocolError(f"A runner may not send a file {str(name)[:40]!r} now.")
        try:
            piece = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProtocolError(f"A piece of {name} is not base64.") from error
        self._total_bytes += len(piece)
        if self._total_bytes > self._max_bytes:
            raise ProtocolError(f"The artifact is larger than the {self._max_bytes} bytes that it may be.")
        content = self._files.setdefault(name, bytearray())
        content += piece
        if frame.get("last") is True:
            if name == METADATA:
                self._files[name] = _metadata(content)
            self._whole.add(name)

    def whole(self) -> Mapping[str, bytes]:
        """Return the files that are complete."""
        return {name: bytes(self._files[name]) for name in sorted(self._whole)}


def _metadata(content: bytearray) -> bytearray:
    """Rewrite the one file that others read as data, its texts made safe; the program's own files are opaque here."""
    if len(content) > MAX_METADATA_BYTES:
        raise ProtocolError(f"{METADATA} is larger than {MAX_METADATA_BYTES} bytes.")
    refuse_many_values(content, max_values=MAX_VALUES)
    try:
        metadata = pydantic_core.from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise ProtocolError(f"{METADATA} is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise ProtocolError(f"{METADATA} is not an object.")
    return bytearray(pydantic_core.to_json(plain(metadata).value))
