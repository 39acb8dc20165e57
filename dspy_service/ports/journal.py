"""The newest answers of a job's language models, until they stand in a segment in the artifact store."""

from collections.abc import Sequence
from typing import Protocol


class JournalTail(Protocol):
    """A list of texts for each unfinished job, numbered from 0 for ever; only the holder of the fence changes it."""

    async def add_answers(self, job_id: str, *, fence: int, answers: Sequence[str]) -> int:
        """Append, and return the number after the last. Sent again after a lost reply, it may append twice.

        Raises:
            LeaseLostError: another fence holds the job; nothing was written.
        """
        ...

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        """Return the number after the last answer, and all answers that are there, oldest first."""
        ...

    async def drop_answers(self, job_id: str, *, fence: int, before: int) -> None:
        """Remove the answers with numbers below ``before``; they stand in a segment now. Raises LeaseLostError."""
        ...
