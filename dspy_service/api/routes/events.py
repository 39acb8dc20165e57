"""``GET /jobs/{job_id}/events``: the numbered facts behind every other view, as pages or as a stream."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import JobsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.headers import request_id_of
from dspy_service.api.job_id import JobId
from dspy_service.api.query import KnownNames
from dspy_service.api.services import TheServices
from dspy_service.api.sse import HEARTBEAT_SECONDS, MEDIA_TYPE, EventStreamResponse, wants_stream
from dspy_service.domain.views import EventPage
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.read_events import read_event_page
from dspy_service.usecases.watch_events import watch_events

router = APIRouter(prefix="/jobs", tags=["jobs"])

MAX_SEQ = 2**53 - 1  # the largest integer that every JSON parser reads

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or with `Accept: text/event-stream` all events as they happen: `id` is the number, "
        "`event` the type, `data` the event as JSON. `gap` tells numbers that are not there any more, `end` that the "
        "job has ended, `error` why the stream ends before. Comments keep it alive. It resumes behind `Last-Event-ID`; "
        "a number that the job does not have yet, as may be left of a store that has lost its last second, is taken "
        "for its newest one.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/{job_id}/events",
    summary="Events after a number, oldest first",
    response_model=EventPage,
    responses={**guarded(404, 422, 500), **_STREAM},
    dependencies=[Depends(KnownNames("after", "starting_after", "limit"))],
)
async def events(
    caller: JobsReader,
    job_id: JobId,
    request: Request,
    services: TheServices,
    after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="The last number that was seen; 0 for all.")] = 0,
    starting_after: Annotated[
        int | None, Query(ge=0, le=MAX_SEQ, description="The same, under the name of other APIs; goes before `after`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events in a page.")] = 100,
    last_event_id: Annotated[
        str,
        Header(
            pattern="^[0-9]{0,15}$",
            description="Where a stream resumes; goes before the query. Empty: as if it were not there.",
        ),
    ] = "",
) -> Response:
    """Return one page; ask again with `after` = `last_id` for what came since. Or a stream, which ends with the job."""
    position = after if starting_after is None else starting_after
    if not wants_stream(request.headers.get("accept", "")):
        page = await read_event_page(
            job_id,
            tenant=caller.tenant,
            jobs=services.jobs,
            artifacts=services.artifacts,
            secret_key=services.secret_key,
            after=position,
            limit=limit,
        )
        return json_answer(page)
    story = watch_events(
        await find_job(job_id, tenant=caller.tenant, jobs=services.jobs),
        after=int(last_event_id) if last_event_id else position,
        quiet_seconds=HEARTBEAT_SECONDS,
        jobs=services.jobs,
        stream=services.events,
        artifacts=services.artifacts,
        secret_key=services.secret_key,
    )
    return EventStreamResponse(
        story, request_id=request_id_of(request.scope), open_streams=request.app.state.open_streams
    )
