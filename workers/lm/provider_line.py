"""Where the calls of one job wait for their turn at one provider, which all workers share.

As long as the operator has set no limit and nobody was refused lately, nobody waits and nothing is asked of the store;
whether somebody was is looked up beside the calls. Else one task asks for all that wait together.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.throttle import GRANT_SECONDS, CallWish, GrantUse, ProviderLimits
from dspy_service.ports import CallThrottle
from workers.lm.call_flow import CallFlow
from workers.lm.standstill import Standstill

UNCOUNTED: Final = ""
"""The turn of a call that nobody counts."""
NO_TURN: Final = "-"
"""What a call gets that had to step aside."""

_log: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_REMIND_SECONDS: Final = GRANT_SECONDS / 3
_STORE_AWAY_SECONDS: Final = 0.5


@dataclass
class _Waiter:
    tokens: int
    turn: asyncio.Future[str]


@dataclass
class _Grant:
    """Calls that are being made; what ended since the last word is not yet told."""

    left: int
    tokens: int = 0
    is_news: bool = False


@dataclass
class _Refusal:
    """One or more that were not yet told."""

    begun_at: float
    retry_after_seconds: float | None


class ProviderLine:
    """Belongs to the event loop on which it is used.

    Args:
        provider: Name of the account or endpoint.
        limits: What the operator says that it allows.
        throttle: Divides it among all workers. While the store is away, calls that must ask wait.
        tenant: Whose job asks.
        job_id: Which job asks.
        shown: The provider's name as the job's owner knows it; None: the same.
        monotonic: Seconds.
    """

    def __init__(
        self,
        provider: str,
        limits: ProviderLimits,
        *,
        throttle: CallThrottle,
        tenant: str,
        job_id: str,
        shown: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._limits = limits
        self._throttle = throttle
        self._tenant = tenant
        self._job_id = job_id
        self._monotonic = monotonic
        self._waiting: deque[_Waiter] = deque()
        self._grants: dict[str, _Grant] = {}
        self._refusal: _Refusal | None = None
        self._refusals = 0
        self._is_pressed = False
        self._flow = CallFlow(monotonic())
        self.standstill = Standstill(shown or provider, monotonic)
        """Whether the provider answers."""
        self._looked_at = -math.inf
        self._asks_at = -math.inf
        self._told_at = -math.inf
        self._wish = _new_name()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_attended = False
        self._is_open = True

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a call takes."""
        return self._limits.tokens_per_minute is not None

    async def enter(self, *, tokens: int = 0, first: bool = False) -> str:
        """Wait until one call may be made, and return its turn, for ``leave``; ``NO_TURN`` after ``step_aside``.

        Args:
            tokens: About how many it will take.
            first: Before all others of this job: it had its turn already and was refused.
        """
        self._flow.count(self._monotonic())
        self._look()
        if self._limits.is_empty and not self._is_pressed:
            return UNCOUNTED
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self._attend(hurry=self._monotonic() >= self._asks_at)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self.leave(waiter.turn.result())
            raise

    def leave(self, turn: str, *, tokens: int = 0) -> None:
        """Say that a call has ended, and how many tokens it took."""
        grant = self._grants.get(turn)
        if grant is not None:
            grant.left -= 1
            grant.tokens += tokens
            grant.is_news = True
            self._attend(hurry=True)

    def step_aside(self) -> None:
        """Let nobody wait any more, since no call may begin now: what would be granted is for other jobs."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.turn.done():
                waiter.turn.set_result(NO_TURN)
        self._news.set()

    def refused(self, *, retry_after_seconds: float | None, call_seconds: float) -> None:
        """Say that the provider answered 429 to a call that was made so long ago."""
        self._refusals += 1
        self._is_pressed = True
        self.standstill.note_refusal()
        begun_at = self._monotonic() - call_seconds
        before = self._refusal or _Refusal(begun_at, retry_after_seconds)
        asked = [each for each in (before.retry_after_seconds, retry_after_seconds) if each is not None]
        self._refusal = _Refusal(max(before.begun_at, begun_at), max(asked, default=None))
        self._attend(hurry=True)

    async def aclose(self) -> None:
        """Let nobody wait any more, and give back what was granted, if the store can be told now."""
        if not self._is_open:
            return
        self._is_open = False
        for waiter in self._waiting:
            waiter.turn.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        uses = [GrantUse(grant=name, left=0, tokens=grant.tokens) for name, grant in self._grants.items()]
        self._grants.clear()
        if uses:
            with contextlib.suppress(StoreUnavailableError):  # then they count as ended a little later
                await self._throttle.report(self._provider, uses)

    def _start(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        """Find out beside the calls, now and then, whether they must ask."""
        now = self._monotonic()
        if now - self._looked_at < _LOOK_SECONDS or not self._limits.is_empty or self._refusal or not self._is_open:
            return
        self._looked_at = now
        self._start(asyncio.get_running_loop().create_task(self._look_up()))

    async def _look_up(self) -> None:
        refusals = self._refusals
        with contextlib.suppress(StoreUnavailableError):
            is_pressed = await self._throttle.pressure(self._provider)
            if refusals == self._refusals:  # else the store did not know of all of them
                self._is_pressed = is_pressed

    def _attend(self, *, hurry: bool) -> None:
        """See to it that somebody asks and tells."""
        if hurry:
            self._news.set()
        if not self._is_attended and self._is_open:
            self._is_attended = True
            self._start(asyncio.get_running_loop().create_task(self._attended()))

    async def _attended(self) -> None:
        try:
            while self._is_open and (self._waiting or self._grants or self._refusal):
                self._news.clear()
                try:
                    await self._tell()
                    pause = await self._ask()
                except StoreUnavailableError:
                    pause = _STORE_AWAY_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()
        except Exception as error:  # noqa: BLE001  # whatever it was: calls wait here
            _log.exception("Nobody asks for turns at %s any more.", self._provider)
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.turn.done():
                    waiter.turn.set_exception(error)
        finally:
            self._is_attended = False

    async def _tell(self) -> None:
        """Tell the store of refusals, of calls that have ended, and now and then of those that have not."""
        refusal, now = self._refusal, self._monotonic()
        if refusal is not None:
            await self._throttle.refused(
                self._provider,
                job_id=self._job_id,
                retry_after_seconds=refusal.retry_after_seconds,
                calls_per_second=self._flow.per_second(now),
                call_seconds=now - refusal.begun_at,
            )
            if self._refusal is refusal:
                self._refusal = None
        must_remind = now - self._told_at >= _REMIND_SECONDS
        told = {name: grant for name, grant in self._grants.items() if grant.is_news or must_remind}
        if told:
            uses = [GrantUse(grant=name, left=grant.left, tokens=grant.tokens) for name, grant in told.items()]
            await self._throttle.report(self._provider, uses)
            for use in uses:
                self._note_told(use)
        if must_remind:
            self._told_at = now

    def _note_told(self, use: GrantUse) -> None:
        grant = self._grants[use.grant]
        grant.tokens -= use.tokens
        grant.is_news = grant.left != use.left
        if use.left == 0:
            del self._grants[use.grant]

    async def _ask(self) -> float:
        """Ask for all that wait, let those go that may, and return when to come back unless there is news."""
        waiting = [
            waiter for waiter in self._waiting if not waiter.turn.done()
        ]  # a cancelled one may not have left yet
        if not waiting:
            return _REMIND_SECONDS
        wish = CallWish(
            tenant=self._tenant,
            job_id=self._job_id,
            calls=len(waiting),
            tokens=sum(waiter.tokens for waiter in waiting),
            grant=self._wish,  # the same until an answer comes: it may have been granted, and the answer lost
        )
        granted = await self._throttle.take(self._provider, wish, limits=self._limits)
        self._wish = _new_name()
        self.standstill.note_grant(granted)
        turn = wish.grant if granted.is_counted else UNCOUNTED
        going: list[_Waiter] = []
        while self._waiting and len(going) < granted.calls:
            waiter = self._waiting.popleft()
            if not waiter.turn.done():
                going.append(waiter)
        if granted.is_counted:
            self._grants[turn] = _Grant(left=len(going))
            if granted.calls > len(going):  # somebody stopped waiting meanwhile
                self._grants[turn].is_news = True
                self._news.set()
        for waiter in going:
            waiter.turn.set_result(turn)
        self._asks_at = self._monotonic() + granted.wait_seconds
        return min(_REMIND_SECONDS, granted.wait_seconds) if self._waiting else _REMIND_SECONDS


def _new_name() -> str:
    return secrets.token_hex(8)
