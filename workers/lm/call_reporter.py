"""Tells operators' counters, now and then, what the calls of one attempt came to. It never holds a job up."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.call_counts import CallCounts
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.ports import CallLedger

PERIOD_SECONDS: Final = 5.0
"""So much of a worker's counting is lost at most when it is killed."""

_CLOSE_SECONDS: Final = 1.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Report:
    number: int
    news: CallCounts
    counts: CallCounts
    """Everything up to it."""


class CallReporter:
    """Reports for one attempt, on its event loop.

    Args:
        ledger: Where the counters stand.
        name: Of the attempt; no other reports under it.
        count: Returns the attempt's counters. What they are at the beginning was reported by earlier attempts.
        period_seconds: Between two reports.
    """

    def __init__(
        self,
        ledger: CallLedger,
        *,
        name: str,
        count: Callable[[], CallCounts],
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._name = name
        self._count = count
        self._period_seconds = period_seconds
        self._counts = count()
        self._reports = 0
        self._unconfirmed: _Report | None = None
        self._running = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Report what is left, if the ledger answers soon."""
        self._running.cancel()
        await asyncio.wait({self._running})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                while await self._tell():
                    pass

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period_seconds)
            await self._tell()

    async def _tell(self) -> bool:
        """Send one report, the same again until it is confirmed; False when there was nothing to say, or nobody."""
        report = self._unconfirmed = self._unconfirmed or self._next()
        if report is None:
            return False
        try:
            await self._ledger.add(self._name, report.number, report.news)
        except StoreUnavailableError:
            return False
        except Exception:  # noqa: BLE001  # whatever it was: no job ends because of a counter
            _log.exception("The calls of %s are not counted.", self._name)
            return False
        self._counts, self._unconfirmed = report.counts, None
        return True

    def _next(self) -> _Report | None:
        counts = self._count()
        news = {each: count - self._counts.get(each, 0) for each, count in counts.items()}
        news = {each: count for each, count in news.items() if count > 0}
        if not news:
            return None
        self._reports += 1
        return _Report(self._reports, news, counts)
