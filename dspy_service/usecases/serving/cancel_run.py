"""Asks a run to end."""

from dspy_service.domain.serving.run import Run
from dspy_service.ports.serving.runs import RunRecords
from dspy_service.usecases.serving.read_run import find_run


async def cancel_run(run_id: str, *, tenant: str, runs: RunRecords) -> Run:
    """Ask for an end, and return the record; one that has ended stays as it is. Raises RunNotFoundError.

    What was written so far stays in its log, and what it has cost is counted.
    """
    await find_run(run_id, tenant=tenant, runs=runs)
    return await runs.cancel(run_id, reason="asked")
