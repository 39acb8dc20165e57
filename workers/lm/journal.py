"""Every answer that a job's language models gave, so that no call is paid for twice."""

from typing import TYPE_CHECKING, Final, Protocol

MAX_BYTES: Final = 64 << 20  # some 30 000 answers


class Journal(Protocol):
    """Answers by key. The first answer to a key stands; nothing is ever removed while the job runs."""

    def get(self, key: str) -> bytes | None:
        """Return the answer that stands, if there is one; never waits."""
        ...

    async def put(self, key: str, answer: bytes) -> bytes:
        """Keep an answer unless there is one, and return the one that stands.

        Nobody may see an answer before this returns: what was seen and then lost could not be replayed.
        """
        ...


class MemoryJournal:
    """Lives as long as one attempt.

    Args:
        max_bytes: Of answers. Past it new ones are not kept, so that a runner that asks without end cannot fill this
            process; a call that comes again is then made again.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._answers: dict[str, bytes] = {}
        self._left = max_bytes

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> bytes | None:
        """See Journal."""
        return self._answers.get(key)

    async def put(self, key: str, answer: bytes) -> bytes:
        """See Journal."""
        if key not in self._answers:
            if self._left < len(answer):
                return answer
            self._left -= len(answer)
        return self._answers.setdefault(key, answer)


if TYPE_CHECKING:
    _proof: Journal = MemoryJournal()
