"""Keeps a claim alive while its job runs, and hears what is wished of it."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.errors import LeaseLostError, StoreUnavailableError
from dspy_service.domain.job import Claim, Wish
from dspy_service.domain.supervision import Halt, Reins
from dspy_service.ports import JobStore

_MARGIN_SHARE: Final = 0.1
_MARGIN_SECONDS: Final = 0.5
"""Before a lease can end, nothing moves any more; the larger of the two."""

_HALTS: Final = {Wish.CANCEL: Halt.CANCEL, Wish.PAUSE: Halt.PAUSE}


@dataclass
class LeaseKeeper:
    """Renews one claim, and steers its attempt by what the store says, or by its silence.

    The lease certainly holds until ``lease_seconds`` after the last renewal *was sent*. Shortly before, while the store
    is silent, the attempt is held: no model is called and its runner stands still, so that it cannot do what another
    worker does too. An answer lets it go on: after an outage nothing is reaped for a lease. When a further whole lease
    passes in silence, the attempt is given up.

    Args:
        claim: What to renew.
        jobs: Where.
        reins: Of the attempt.
        lease_seconds: Of each renewal.
        heartbeat_seconds: Between two of them.
        certain_until: In the event loop's time: one lease after the claim was sent.
    """

    claim: Claim
    jobs: JobStore
    reins: Reins
    lease_seconds: float
    heartbeat_seconds: float
    certain_until: float
    _ended: bool = field(default=False, init=False)

    def attempt_ended(self) -> None:
        """Nothing moves any more that would have to be held or given up; the lease is renewed until it is let go."""
        self._ended = True

    @property
    def active_seconds(self) -> float:
        """Running time of the job: of the attempts before this one, and of this one so far."""
        return self.claim.job.active_seconds + self.reins.running_seconds

    async def run(self) -> None:
        """Keep the lease until cancelled.

        Raises:
            LeaseLostError: another worker holds the job.
            StoreUnavailableError: the store was silent for so long that the attempt must not go on.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._watch())

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.heartbeat_seconds)
            asked_at = loop.time()
            try:
                async with asyncio.timeout(self.lease_seconds / 2):  # a connection that went dead is given up then
                    wish = await self.jobs.renew(
                        self.claim.job.job_id,
                        fence=self.claim.fence,
                        lease_seconds=self.lease_seconds,
                        active_seconds=self.active_seconds,
                    )
            except (StoreUnavailableError, TimeoutError):
                continue
            except LeaseLostError:
                if self._ended:
                    return  # most likely let go just now; whoever ends the job hears from the store whose it is
                raise
            self.certain_until = asked_at + self.lease_seconds
            if self._safe_seconds() > 0:
                self.reins.go_on()
            if wish in _HALTS:
                self.reins.halt(_HALTS[wish])

    async def _watch(self) -> None:
        """Hold the attempt when its lease may soon be over, and give it up one lease later."""
        loop = asyncio.get_running_loop()
        held_at: float | None = None
        while True:
            if (safe_seconds := self._safe_seconds()) > 0:
                held_at = None
                await asyncio.sleep(safe_seconds)
                continue
            if held_at is None:
                held_at = loop.time()
                self.reins.hold()
            if loop.time() - held_at >= self.lease_seconds and not self._ended:
                raise StoreUnavailableError("job store")
            await asyncio.sleep(self.heartbeat_seconds / 2)

    def _safe_seconds(self) -> float:
        """Return how long things may move without another answer."""
        margin_seconds = max(_MARGIN_SECONDS, _MARGIN_SHARE * self.lease_seconds)
        return self.certain_until - margin_seconds - asyncio.get_running_loop().time()
