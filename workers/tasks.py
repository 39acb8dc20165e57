"""The one task: somebody rang, because a job waits."""

from dspy_service.adapters.celery_settings import RING_TASK
from workers.celery_app import app


@app.task(name=RING_TASK)  # type: ignore[untyped-decorator]  # Celery has no types
def ring(job_id: str) -> None:  # noqa: ARG001 - see below
    """Run whoever is next; whatever goes wrong with that job is in its record, not in this task.

    Args:
        job_id: Whom the ring was for, which people see in Flower. Another job may be served first.
    """
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - Flower loads this module too and runs nothing

    LIFECYCLE.run_next()
