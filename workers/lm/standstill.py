"""Since when a provider has answered nothing and refused calls: what the owner of a job that stands still is told."""

from collections.abc import Callable
from typing import Final

from dspy_service.domain.throttle import CallGrant, ProviderWait

_FORGOTTEN_SECONDS: Final = 30.0
"""After the last word of it: whoever waits asks every few seconds."""


class Standstill:
    """Of one job at one provider.

    Args:
        provider: How the job's owner knows it.
        monotonic: Seconds.
    """

    def __init__(self, provider: str, monotonic: Callable[[], float]) -> None:
        self._provider = provider
        self._monotonic = monotonic
        self._since: float | None = None
        self._until = self._noted_at = 0.0
        self._refusals = 0

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0: calls are answered."""
        now = self._monotonic()
        return 0.0 if self._since is None or now - self._noted_at > _FORGOTTEN_SECONDS else now - self._since

    @property
    def wait(self) -> ProviderWait | None:
        """What to tell; None: calls are answered."""
        seconds = self.seconds
        if seconds == 0:
            return None
        return ProviderWait(
            provider=self._provider,
            seconds=seconds,
            silence_seconds=max(0.0, self._until - self._monotonic()),
            refusals=max(1, self._refusals),
        )

    def note_refusal(self) -> None:
        """Note that a call of this job was refused."""
        if self.seconds == 0:
            self._since, self._refusals = self._monotonic(), 0
        self._noted_at = self._monotonic()

    def note_grant(self, grant: CallGrant) -> None:
        """Note what the throttle says: another job's call may have been refused."""
        if grant.calls == 0 and grant.silence_seconds > 0:
            self.note_refusal()
            self._until = self._monotonic() + grant.silence_seconds
            self._refusals = max(self._refusals, grant.refusals)

    def end(self) -> None:
        """Note that a call was answered."""
        self._since = None
