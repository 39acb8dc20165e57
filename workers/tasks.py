"""The one task: somebody rang for a job."""

from dspy_service.adapters.celery_settings import RING_TASK
from workers.celery_app import app


@app.task(name=RING_TASK)  # type: ignore[untyped-decorator]  # Celery has no types
def ring(job_id: str) -> None:
    """Run the job if it still waits; whatever goes wrong with it is in its record, not in this task."""
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - Flower loads this module too and runs nothing

    LIFECYCLE.run(job_id)
