"""Appends answers to a journal's tail, all that wait in one call: no answer is seen before it stands there."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.errors import LeaseLostError
from dspy_service.domain.store_outage import repeat_while_away
from dspy_service.ports import JournalTail

_BATCH_BYTES: Final = 1 << 20
_BATCH_ENTRIES: Final = 256


@dataclass(frozen=True)
class NewText:
    """An entry that is not in the journal yet, or a running total."""

    text: bytes = field(repr=False)
    key: str | None = None
    """Of an entry."""


@dataclass
class _Waiting:
    new: NewText
    kept: asyncio.Future[None]


class TailWriter:
    """Writes for one attempt, on its event loop.

    Args:
        tail: Where answers are appended.
        job_id: Whose.
        fence: Of the attempt.
        on_kept: Told what stands in the tail now, and the number after the last, before anybody else hears of it.
        on_lost: Told once that another worker holds the job. What waits then waits for ever.
    """

    def __init__(
        self,
        tail: JournalTail,
        *,
        job_id: str,
        fence: int,
        on_kept: Callable[[Sequence[NewText], int], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._tail = tail
        self._job_id = job_id
        self._fence = fence
        self._on_kept = on_kept
        self._on_lost = on_lost
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self._is_over = False

    async def write(self, new: NewText) -> None:
        """Return when the text is durable; never, once the lease is lost or the writer is closed."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(new, kept))
        if self._writing is None and not self._is_over:
            self._writing = asyncio.create_task(self._write_all())
        await kept

    async def aclose(self) -> None:
        """Stop writing; whether what waits was written is not known."""
        self._is_over = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                await self._write_some()
        except LeaseLostError:
            self._is_over = True
            self._on_lost()
        finally:
            self._writing = None

    async def _write_some(self) -> None:
        batch = self._take()
        texts = [waiting.new.text.decode() for waiting in batch]
        try:
            number = await repeat_while_away(
                lambda: self._tail.add_answers(self._job_id, fence=self._fence, answers=texts)
            )
            self._on_kept([waiting.new for waiting in batch], number)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001  # whoever waits for these answers tells the runner
            _fail(batch, error)
            return
        for waiting in batch:
            if not waiting.kept.done():  # cancelled: its door was closed meanwhile
                waiting.kept.set_result(None)

    def _take(self) -> list[_Waiting]:
        size = count = 0
        while count < min(len(self._waiting), _BATCH_ENTRIES) and size < _BATCH_BYTES:
            size += len(self._waiting[count].new.text)
            count += 1
        batch = self._waiting[:count]
        del self._waiting[:count]
        return batch


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.kept.done():
            waiting.kept.set_exception(error)
