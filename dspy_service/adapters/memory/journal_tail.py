"""The tails of the journals in memory."""

from collections.abc import Sequence

from dspy_service.adapters.memory.state import MemoryPart


class MemoryJournalTail(MemoryPart):
    """See the port ``JournalTail``."""

    async def add_answers(self, job_id: str, *, fence: int, answers: Sequence[str]) -> int:
        """Append, and return the number after the last."""
        record = self._held(job_id, fence)
        record.answers.extend(answers)
        return record.first_answer + len(record.answers)

    async def answers(self, job_id: str) -> tuple[int, list[str]]:
        """Return the number after the last answer, and all answers that are there, oldest first."""
        record = self._records.get(job_id)
        if record is None:
            return 0, []
        return record.first_answer + len(record.answers), list(record.answers)

    async def drop_answers(self, job_id: str, *, fence: int, before: int) -> None:
        """Remove the answers with numbers below ``before``."""
        record = self._held(job_id, fence)
        count = min(max(0, before - record.first_answer), len(record.answers))
        del record.answers[:count]
        record.first_answer += count
