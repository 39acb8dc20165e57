"""``/v1/responses``: start one, wait for it or read along, come back to it, go on from it, end it."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import pydantic_core
from fastapi import APIRouter, Path, Query, Request, Response

from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import Invoker
from dspy_service.api.dialects.openai_responses import PER_EVENT, OpenAIResponses
from dspy_service.api.invoking import TheInvoking
from dspy_service.api.last_event_id import MAX_SEQ
from dspy_service.api.openai.bodies import ResponseRequest
from dspy_service.api.openai.errors import OpenAIRoute, explained
from dspy_service.api.openai.responses import input_items, response_id_of, response_object, run_id_of
from dspy_service.api.openai.start_response import start_response
from dspy_service.api.run_answer import answered
from dspy_service.api.run_stream import run_stream
from dspy_service.api.services import TheServices
from dspy_service.api.sse import MEDIA_TYPE
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Caller
from dspy_service.domain.serving.chat_fields import fields_of
from dspy_service.domain.serving.errors import RunFailedError, RunLogGoneError
from dspy_service.domain.serving.openai_mapping import ReplyShape
from dspy_service.domain.serving.openai_memo import ResponseMemo
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.usecases.serving.cancel_run import cancel_run
from dspy_service.usecases.serving.read_run import await_run, read_ending, require_log
from dspy_service.usecases.serving.resolve_program import resolve_program
from dspy_service.usecases.serving.responses import delete_response, find_response, seen_before

router = APIRouter(prefix="/responses", tags=["openai"], route_class=OpenAIRoute)

_EXAMPLES = {"text": {"summary": "A text", "value": {"model": "support-answers", "input": "Where is my parcel?"}}}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A response; with `stream` its events. `response.output_text.done` holds the whole text, and "
        "`GET /v1/responses/{response_id}?stream=true&starting_after=` goes on behind any `sequence_number`.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


@dataclass(frozen=True)
class _Response:
    """A run as a response."""

    run: Run
    memo: ResponseMemo
    shape: ReplyShape


ResponseId = Annotated[str, Path(description="As its answer says.")]


@router.post(
    "",
    summary="Ask a program for a response",
    response_model=dict[str, Any],
    responses={**explained(400, 404, 409, 413, 500, 502, 504), **_STREAM},
    openapi_extra=json_body(ResponseRequest, _EXAMPLES),
)
async def create(invoking: TheInvoking) -> Response:
    """Answer as OpenAI's Responses API does.

    With `background` the answer comes at once, and the response goes on without a reader. With `previous_response_id`
    the program is told what was said before, for as long as that response's events are kept; with `conversation`, the
    id of one of `POST /conversations`, what stands there, and question and answer are written behind it.
    """
    services = invoking.services
    body = await invoking.request.body()
    asked = await parse_body(body, ResponseRequest, max_depth=services.settings.max_json_depth)
    ignored = asked.ignored()
    version = await resolve_program(asked.model, tenant=invoking.caller.tenant, programs=services.programs)
    run = await start_response(invoking, asked, version, body=body, ignored=ignored)
    memo = ResponseMemo.model_validate(run.memo)
    response = _Response(run, memo, _shape(version, memo))
    if asked.stream:
        dialect = OpenAIResponses(run, response.memo, response.shape)
        return run_stream(run, dialect, request=invoking.request, services=services, is_for_browsers=False)
    if asked.background:
        return await _as_it_stands(response, services)
    return await answered(invoking.request, _whole(response, services))


@router.get(
    "/{response_id}",
    summary="A response",
    response_model=dict[str, Any],
    responses={**explained(400, 404), **_STREAM},
)
async def retrieve(
    caller: Invoker,
    response_id: ResponseId,
    request: Request,
    services: TheServices,
    stream: Annotated[bool, Query(description="Read along, from its beginning or behind `starting_after`.")] = False,  # noqa: FBT002  # a query parameter
    starting_after: Annotated[
        int, Query(ge=0, le=MAX_SEQ, description="The last `sequence_number` that was seen.")
    ] = 0,
) -> Response:
    """Return a response as it stands, or its events: of any response, whether it was streamed before or not."""
    response = await _found(response_id, caller, services)
    if not stream:
        return await _as_it_stands(response, services)
    run = response.run
    told, after = await seen_before(run, min(starting_after // PER_EVENT, run.last_seq), runs=services.runs)
    await require_log(run, after=after, runs=services.runs)
    dialect = OpenAIResponses(run, response.memo, response.shape, after=starting_after)
    if after:
        dialect.catch_up(told, place=after)
    return run_stream(run, dialect, request=request, services=services, after=after, is_for_browsers=False)


@router.post("/{response_id}/cancel", summary="End a response", response_model=dict[str, Any], responses=explained(404))
async def cancel(caller: Invoker, response_id: ResponseId, services: TheServices) -> Response:
    """Ask for an end, of a background response or any other; again, or after its end, it changes nothing."""
    response = await _found(response_id, caller, services)
    run = await cancel_run(response.run.run_id, tenant=response.run.tenant, runs=services.runs)
    return await _as_it_stands(replace(response, run=run), services)


@router.delete(
    "/{response_id}", summary="Forget a response", response_model=dict[str, Any], responses=explained(404, 409)
)
async def delete(caller: Invoker, response_id: ResponseId, services: TheServices) -> Response:
    """Forget a response with its events; one that is still being answered is ended first.

    What it wrote into a conversation stays there, and what it has cost stays counted.
    """
    run, _ = await find_response(run_id_of(response_id), tenant=caller.tenant, runs=services.runs)
    await delete_response(run, runs=services.runs, conversations=services.conversations, programs=services.programs)
    return _json({"id": response_id_of(run.run_id), "object": "response", "deleted": True})


@router.get(
    "/{response_id}/input_items",
    summary="What a response answers",
    response_model=dict[str, Any],
    responses=explained(404),
)
async def input_items_of(caller: Invoker, response_id: ResponseId, services: TheServices) -> Response:
    """Return the items of its request; those of the responses before it stand with them."""
    response = await _found(response_id, caller, services)
    items = input_items(response.run, response.memo)
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": None, "last_id": None}
    return _json({"object": "list", "data": items, "has_more": False, **ends})


async def _found(response_id: str, caller: Caller, services: Services) -> _Response:
    run, memo = await find_response(run_id_of(response_id), tenant=caller.tenant, runs=services.runs)
    version = await services.programs.version(run.tenant, run.program, run.version)
    return _Response(run, memo, _shape(version, memo))


def _shape(version: ProgramVersion, memo: ResponseMemo) -> ReplyShape:
    outputs = None if memo.outputs is None else tuple(memo.outputs)
    return ReplyShape(fields_of(version), version.interface, outputs)


async def _whole(response: _Response, services: Services) -> Response:
    ending = await await_run(response.run, runs=services.runs)
    run = await services.runs.get(response.run.run_id)
    if ending.predicted is None and ending.error is not None:
        raise RunFailedError(run.run_id, ending.error)
    told = response_object(
        run, response.memo, status=ending.status, shape=response.shape, predicted=ending.predicted, error=ending.error
    )
    return _json(told, run)


async def _as_it_stands(response: _Response, services: Services) -> Response:
    """Return where it stands. Raises RunLogGoneError when it has answered, and the answer is not kept any more."""
    run = response.run
    ending = await read_ending(run, runs=services.runs)
    if run.finish_reason is not None and ending.predicted is None:
        raise RunLogGoneError(run.run_id)
    told = response_object(
        run, response.memo, status=run.status, shape=response.shape, predicted=ending.predicted, error=run.error
    )
    return _json(told, run)


def _json(content: dict[str, Any], run: Run | None = None) -> Response:
    headers = None if run is None else {"x-run-id": run.run_id}
    return Response(pydantic_core.to_json(content), media_type="application/json", headers=headers)
