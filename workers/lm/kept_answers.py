"""The entries of a journal at hand, by key: an index in memory, the entries themselves in a file once they are many."""

import struct
import tempfile
from typing import Final

_MEMORY_BYTES: Final = 16 << 20
"""What is beyond moves to an unnamed temporary file, all of it."""
_INDEX_BYTES: Final = 256
"""About what one entry takes beside its text; it counts too, or a million tiny ones would fill this process."""
_LENGTH: Final = struct.Struct("!I")


class KeptAnswers:
    """Texts by key; nothing is ever removed.

    Args:
        max_bytes: Of all of them together, index included.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._places: dict[bytes, int] = {}
        self._end = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115  # closed in close()

    def __len__(self) -> int:
        return len(self._places)

    @property
    def end(self) -> int:
        """The place behind the last entry; one that is kept later stands there or beyond."""
        return self._end

    def has_room(self, text: bytes) -> bool:
        """Whether one more entry may be kept."""
        return self._left >= len(text) + _INDEX_BYTES

    def add(self, key: str, text: bytes) -> bool:
        """Keep a text unless its key has one, room or no room; False when it has.

        Raises:
            OSError: the disk is full; nothing was kept.
        """
        digest = bytes.fromhex(key)
        if digest in self._places:
            return False
        self._file.seek(self._end)
        self._file.write(_LENGTH.pack(len(text)))
        self._file.write(text)
        self._places[digest] = self._end
        self._end += _LENGTH.size + len(text)
        self._left -= len(text) + _INDEX_BYTES
        return True

    def find(self, key: str) -> tuple[int, bytes] | None:
        """Return where a key's text stands, and the text; None when there is none."""
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        self._file.seek(place)
        (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size).ljust(_LENGTH.size, b"\0"))
        return place, self._file.read(length)

    def close(self) -> None:
        """Forget everything."""
        self._places.clear()
        self._file.close()
