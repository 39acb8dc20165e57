"""Every answer that a job's language models gave, so that no call is paid for twice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dspy_service.domain.journal_entry import JournalEntry

MAX_BYTES: Final = 64 << 20  # some 30 000 answers


class Found(NamedTuple):
    """An answer that stands."""

    entry: JournalEntry
    is_replayed: bool = False
    """An earlier attempt got it, and this is its first use in this one."""
    is_earlier: bool = False
    """An earlier attempt got it, however often this one has used it."""


class Journal(Protocol):
    """Answers by key. The first answer to a key stands; nothing is ever removed while the job runs."""

    def find(self, key: str) -> Found | None:
        """Return the answer that stands, if there is one; never waits."""
        ...

    async def keep(self, entry: JournalEntry) -> JournalEntry:
        """Keep an answer unless its key has one, and return the one that stands.

        Nobody may see an answer before this returns: what was seen and then lost could not be replayed. It never
        returns once the journal is another worker's.
        """
        ...

    def when_lost(self, call: Callable[[], None]) -> None:
        """Say what to call once the journal is another worker's."""
        ...

    async def aclose(self) -> None:
        """Put what is kept in its last place, if that is possible soon, and release everything."""
        ...


class MemoryJournal:
    """Lives as long as its process.

    Args:
        max_bytes: Of answers. Past it new ones are not kept, so that a runner that asks without end cannot fill this
            process; a call that comes again is then made again.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._entries: dict[str, JournalEntry] = {}
        self._left = max_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> Found | None:
        """See Journal."""
        entry = self._entries.get(key)
        return None if entry is None else Found(entry)

    async def keep(self, entry: JournalEntry) -> JournalEntry:
        """See Journal."""
        if entry.key not in self._entries:
            if self._left < len(entry.answer):
                return entry
            self._left -= len(entry.answer)
        return self._entries.setdefault(entry.key, entry)

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Journal: it is never lost."""

    async def aclose(self) -> None:
        """See Journal: nothing to release."""


if TYPE_CHECKING:
    _proof: Journal = MemoryJournal()
