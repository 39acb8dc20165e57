"""``GET /jobs/{job_id}/events``: the numbered facts behind every other view."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from dspy_service.api.callers import JobsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JobId
from dspy_service.api.query import EACH_NAME_ONCE
from dspy_service.api.services import TheServices
from dspy_service.domain.views import EventPage
from dspy_service.usecases.read_events import read_event_page

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get(
    "/{job_id}/events",
    summary="Events after a number, oldest first",
    response_model=EventPage,
    responses=guarded(404, 422, 500),
    dependencies=[EACH_NAME_ONCE],
)
async def events(
    caller: JobsReader,
    job_id: JobId,
    services: TheServices,
    after: Annotated[int, Query(ge=0, description="The last number that was seen; 0 for all.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events in this page.")] = 100,
) -> Response:
    """Return one page; ask again with `after` = `last_id` for what came since."""
    page = await read_event_page(
        job_id,
        tenant=caller.tenant,
        jobs=services.jobs,
        artifacts=services.artifacts,
        secret_key=services.secret_key,
        after=after,
        limit=limit,
    )
    return Response(page.model_dump_json(), media_type="application/json")
