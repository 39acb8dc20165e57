"""The lines of one job: one for each provider, shared by all models that it counts together."""

from dspy_service.domain.throttle import ProviderWait
from dspy_service.ports import CallThrottle
from workers.lm.provider_line import ProviderLine
from workers.lm.target import Target


class ProviderLines:
    """Opens a line for each provider once; they belong to the event loop on which they are used."""

    def __init__(self, throttle: CallThrottle | None, *, tenant: str, job_id: str) -> None:
        self._throttle = throttle
        self._tenant = tenant
        self._job_id = job_id
        self._lines: dict[str, ProviderLine] = {}

    def of(self, target: Target) -> ProviderLine | None:
        """Return the line for a target; None for one that nobody counts."""
        if self._throttle is None or not target.provider:
            return None
        if target.provider not in self._lines:
            self._lines[target.provider] = ProviderLine(
                target.provider if target.is_shared else f"{target.provider}#{self._tenant}",
                target.provider_limits,
                throttle=self._throttle,
                tenant=self._tenant,
                job_id=self._job_id,
                shown=target.place,
            )
        return self._lines[target.provider]

    def waits(self) -> list[ProviderWait]:
        """Return at which providers the job stands still, since they refuse its calls."""
        return [wait for line in self._lines.values() if (wait := line.standstill.wait) is not None]

    def step_aside(self) -> None:
        """Let nobody wait for a turn any more."""
        for line in self._lines.values():
            line.step_aside()
