"""``/chat``: say something to a program, and read its answer at once or as it is written."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.chat_body import ChatFormat, ChatRequest
from dspy_service.api.chatting import Chat, basic_answer, start_chat, stream_of, whole_answer
from dspy_service.api.dialects.numbered import place_of
from dspy_service.api.envelope import guarded
from dspy_service.api.invoking import Invoking, TheInvoking
from dspy_service.api.problems import friendly
from dspy_service.api.query import KnownNames
from dspy_service.api.sse import MEDIA_TYPE, wants_stream
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.conversation_views import BasicAnswer, ChatAnswer
from dspy_service.usecases.serving.read_run import find_run, require_log

router = APIRouter(tags=["chat"])

_EXAMPLES = {
    "first": {"summary": "A first message", "value": {"message": "How do I deploy my app?"}},
    "next": {
        "summary": "The next one, of one of your users",
        "value": {
            "message": "And how do I undo that?",
            "conversation_id": "conv_01890a5d-ac96-774b-bcce-b302099a8057",
            "user_id": "user_456",
        },
    },
}
_BODY = json_body(ChatRequest, _EXAMPLES)
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events, in the form that `format` names. Without it: `question` in the body means "
        "`seed001`, `user_id` means `seed002`, else `seed003`: `data` with a `type`, `start`, `token` (`text`), "
        "`reasoning`, `status`, `sources`, `final` (`text`, `prediction`), `error`, `end` and `ping`. Where a form "
        "cannot take text back, its last message has the answer that counts. The headers `x-run-id` and "
        "`x-conversation-id` say where to go on.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}
ERRORS = (400, 404, 409, 413, 422)

Format = Annotated[
    ChatFormat | None,
    Query(alias="format", description="How a stream is written: `v1` as `GET /v1/runs/{run_id}/events`, or a seed's."),
]
_Text = Annotated[str | None, Query(max_length=8_000, description="What the user says.")]
_Id = Annotated[str | None, Query(max_length=64, description="Goes on with it.")]
_User = Annotated[str | None, Query(max_length=256, description="Whose conversation it is.")]


@router.post(
    "/chat",
    summary="Say something and wait for the answer",
    response_model=ChatAnswer,
    responses=guarded(*ERRORS, 500, 502, 504),
    dependencies=[Depends(KnownNames("format"))],
    openapi_extra=_BODY,
)
async def chat(invoking: TheInvoking, wanted: Format = None) -> Response:
    """Answer with the whole response; with `"stream": true` as `POST /v1/chat/stream`.

    The message and the answer stand in a conversation from then on. When the client closes the connection, the run
    ends half a minute later, unless `on_disconnect` is `continue`.
    """
    asked, taken = await _taken(invoking)
    if asked.stream:
        return stream_of(taken, asked.format_or(wanted), invoking=invoking)
    return await whole_answer(taken, invoking)


@router.post(
    "/chat/stream",
    summary="Say something and read the answer along",
    response_class=Response,
    responses={**guarded(*ERRORS), **STREAM},
    dependencies=[Depends(KnownNames("format"))],
    openapi_extra=_BODY,
)
async def stream(invoking: TheInvoking, wanted: Format = None) -> Response:
    """Tell the answer as the model writes it; with `"stream": false` as `POST /v1/chat`."""
    asked, taken = await _taken(invoking)
    if asked.stream is False:
        return await whole_answer(taken, invoking)
    return stream_of(taken, asked.format_or(wanted), invoking=invoking)


@router.get(
    "/chat/stream",
    summary="Say something and read the answer along, from an EventSource",
    response_class=Response,
    responses={
        **guarded(*ERRORS),
        **STREAM,
        204: {"description": "The reader has seen the end: an EventSource stops here."},
    },
    dependencies=[
        Depends(KnownNames("message", "question", "conversation_id", "session_id", "user_id", "program", "format"))
    ],
)
async def event_source(
    invoking: TheInvoking,
    message: _Text = None,
    question: _Text = None,
    conversation_id: _Id = None,
    session_id: _Id = None,
    user_id: _User = None,
    program: Annotated[str | None, Query(max_length=200, description="What answers.")] = None,
    wanted: Format = None,
    last_event_id: Annotated[
        str | None, Header(description="Sent by a browser that comes back: it goes on, and says nothing again.")
    ] = None,
) -> Response:
    """Tell the answer as `POST /v1/chat/stream` does; needs `Accept: text/event-stream`, as an EventSource sends it."""
    request = invoking.request
    if not wants_stream(request.headers.get("accept", "")):  # no picture on a page may cost a model's answer
        raise InvalidRequestError.of("Accept", f"must be {MEDIA_TYPE}, as an EventSource sends it")
    fields = {
        "message": message,
        "question": question,
        "conversation_id": conversation_id,
        "session_id": session_id,
        "user_id": user_id,
        "program": program,
    }
    asked = _checked({name: value for name, value in fields.items() if value is not None})
    place = place_of(last_event_id or "")
    if place is not None:
        return await _resumed(invoking, asked.format_or(wanted), *place)
    taken = await start_chat(invoking, asked, body=request.scope["query_string"])
    return stream_of(taken, asked.format_or(wanted), invoking=invoking, with_ids=True)


@router.post(
    "/chat/basic",
    summary="Ask, in the form of a paper chat",
    response_model=BasicAnswer,
    responses={**guarded(*ERRORS, 500, 502, 504), 200: {**STREAM[200], "model": BasicAnswer}},
    dependencies=[Depends(KnownNames("format"))],
    openapi_extra=_BODY,
)
@router.post(
    "/api/chat/basic",
    summary="The same, under its other path",
    response_model=BasicAnswer,
    responses={**guarded(*ERRORS, 500, 502, 504), 200: {**STREAM[200], "model": BasicAnswer}},
    dependencies=[Depends(KnownNames("format"))],
    openapi_extra=_BODY,
)
async def basic(invoking: TheInvoking, wanted: Format = None) -> Response:
    """Tell `token`, `reasoning`, `sources` and `done`, then `[DONE]`; with `"stream": false` answer at once."""
    asked, taken = await _taken(invoking)
    if asked.stream is False:
        return await basic_answer(taken, invoking)
    return stream_of(taken, wanted or "seed000", invoking=invoking)


async def _taken(invoking: Invoking) -> tuple[ChatRequest, Chat]:
    request: Request = invoking.request
    body = await request.body()
    asked = await parse_body(body, ChatRequest, max_depth=invoking.services.settings.max_json_depth)
    return asked, await start_chat(invoking, asked, body=body)


def _checked(fields: dict[str, str]) -> ChatRequest:
    try:
        return ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(friendly(error.errors(include_url=False, include_input=False))) from None


async def _resumed(invoking: Invoking, wanted: ChatFormat, run_id: str, seq: int) -> Response:
    """Go on with a run where its reader was; the dialect is told first what that reader has seen."""
    services = invoking.services
    run = await find_run(run_id, tenant=invoking.caller.tenant, runs=services.runs)
    if run.status.is_terminal and seq >= run.last_seq:
        return Response(status_code=204)
    await require_log(run, after=seq, runs=services.runs)
    version = await services.programs.version(run.tenant, run.program, run.version)
    seen = [event for event in await services.runs.trimmed(run_id) if event.seq <= seq]
    last = seen[-1].seq if seen else 0
    seen += [event for event in await services.runs.events(run_id, after=last) if event.seq <= seq]
    return stream_of(Chat(run, version), wanted, invoking=invoking, seen=seen, with_ids=True)
