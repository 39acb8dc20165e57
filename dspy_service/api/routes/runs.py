"""``/runs``: look at a run, follow or resume its events, end it."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import Invoker
from dspy_service.api.dialects.v1 import V1
from dspy_service.api.envelope import guarded
from dspy_service.api.last_event_id import MAX_SEQ, TheLastEventId
from dspy_service.api.query import KnownNames
from dspy_service.api.run_stream import run_stream
from dspy_service.api.services import TheServices
from dspy_service.api.sse import MEDIA_TYPE, wants_stream
from dspy_service.domain.serving.errors import RunNotFoundError
from dspy_service.domain.serving.run_views import RunEventPage, RunView, view_events, view_run
from dspy_service.usecases.serving.cancel_run import cancel_run
from dspy_service.usecases.serving.read_run import find_run, read_ending, read_run_page, require_log

router = APIRouter(prefix="/runs", tags=["runs"])

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ONLY_NEW = -1

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or with `Accept: text/event-stream` all events as they happen: `id` is the number, "
        "`event` the type, `data` the event as JSON; `end` is the last one. `ping` says every ten seconds that the run "
        "goes on. `snapshot` brings the texts of all fields when the log does not reach back to where the reader was.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    204: {"description": "The reader has seen the end: an EventSource stops here."},
}


async def _checked(run_id: Annotated[str, Path(description="As its first event says.")]) -> str:
    if not _ID.fullmatch(run_id):
        raise RunNotFoundError(run_id[:64])
    return run_id


RunId = Annotated[str, Depends(_checked)]
"""The argument by which a route asks for it."""


@router.get("/{run_id}", summary="A run", response_model=RunView, responses=guarded(404))
async def run(caller: Invoker, run_id: RunId, services: TheServices) -> Response:
    """Return where a run stands; after its end, for a day.

    Its prediction is there as long as its events are; if it was asked for with an `Idempotency-Key`, as long as itself.
    """
    found = await find_run(run_id, tenant=caller.tenant, runs=services.runs)
    return json_answer(view_run(found, (await read_ending(found, runs=services.runs)).predicted))


@router.get(
    "/{run_id}/events",
    summary="Events of a run after a number, oldest first",
    response_model=RunEventPage,
    responses={**guarded(404, 422), **_STREAM},
    dependencies=[Depends(KnownNames("starting_after", "limit"))],
)
async def events(
    caller: Invoker,
    run_id: RunId,
    request: Request,
    services: TheServices,
    last_event_id: TheLastEventId,
    starting_after: Annotated[
        int, Query(ge=ONLY_NEW, le=MAX_SEQ, description="The last number that was seen; 0: all; -1: only new ones.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events in a page.")] = 100,
) -> Response:
    """Return one page, or a stream that ends with the run. Nothing is lost or doubled between two streams."""
    found = await find_run(run_id, tenant=caller.tenant, runs=services.runs)
    asked = starting_after if last_event_id is None else last_event_id
    after = found.last_seq if asked == ONLY_NEW else min(asked, found.last_seq)
    if not wants_stream(request.headers.get("accept", "")):
        page, has_more = await read_run_page(found, after=after, limit=limit, runs=services.runs)
        return json_answer(view_events(page, run_id=run_id, after=after, has_more=has_more))
    if found.status.is_terminal and after == found.last_seq:
        return Response(status_code=204)
    await require_log(found, after=after, runs=services.runs)
    return run_stream(found, V1(run_id), request=request, services=services, after=after)


@router.post("/{run_id}/cancel", summary="End a run", status_code=202, response_model=RunView, responses=guarded(404))
async def cancel(caller: Invoker, run_id: RunId, services: TheServices) -> Response:
    """Ask for an end: at once for a run that waits, else its connection to the model is closed within half a second.

    What it wrote and what it has cost stay. Again, or after its end, it changes nothing.
    """
    asked = await cancel_run(run_id, tenant=caller.tenant, runs=services.runs)
    answer = json_answer(view_run(asked))
    answer.status_code = 202
    return answer


@router.delete("/{run_id}", summary="End a run", status_code=202, response_model=RunView, responses=guarded(404))
async def delete(caller: Invoker, run_id: RunId, services: TheServices) -> Response:
    """The same as `POST /v1/runs/{run_id}/cancel`."""
    return await cancel(caller, run_id, services)
