"""How one attempt of a job is run."""

from collections.abc import Sequence
from typing import Protocol

from dspy_service.domain.job import Claim
from dspy_service.domain.spec import Row
from dspy_service.domain.supervision import Interrupted, KeepBest, Reins, RunReport
from dspy_service.domain.workers import SandboxLevel
from dspy_service.ports.store import JobStore


class Supervisor(Protocol):
    """Runs one attempt of a job in a confined process and tells its story to the job store."""

    @property
    def sandbox_level(self) -> SandboxLevel:
        """How submitted code will be confined; recorded with the claim, before any of it is read."""
        ...

    async def run(
        self, claim: Claim, rows: Sequence[Row], *, jobs: JobStore, reins: Reins, keep_best: KeepBest
    ) -> RunReport | Interrupted:
        """Run the attempt to its end; the process is gone when this returns or raises.

        Events are appended under the claim's fence as they happen. Whatever the submitted program does is in the
        report, never an exception.

        Args:
            claim: Proof of ownership, with the spec.
            rows: The dataset.
            jobs: Where events and journalled answers go.
            reins: How the attempt is held, halted or let go on.
            keep_best: Stores the best program so far.

        Raises:
            LeaseLostError: another worker owns the job now.
            NoRunnerError: no process could be started; the job is as it was.
            StoreUnavailableError: what earlier attempts left could not be read.
        """
        ...
