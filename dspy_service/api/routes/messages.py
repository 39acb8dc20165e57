"""``/conversations/{conversation}/messages``: answers anew, and ratings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.chat_body import TurnOptions
from dspy_service.api.chatting import start_again, stream_of, whole_answer
from dspy_service.api.conversation_path import TheConversation
from dspy_service.api.envelope import guarded
from dspy_service.api.invoking import Invoking, TheInvoking
from dspy_service.api.query import KnownNames
from dspy_service.api.routes.chat import ERRORS, STREAM, Format
from dspy_service.api.services import TheServices
from dspy_service.domain.serving.conversation import Feedback, Message
from dspy_service.domain.serving.conversation_views import ChatAnswer
from dspy_service.usecases.serving.feedback import rate_answer

router = APIRouter(prefix="/conversations/{conversation}/messages/{message_id}", tags=["conversations"])

_MessageId = Annotated[str, Path(max_length=64, description="An answer of the conversation.")]


@router.post(
    "/regenerate",
    summary="Answer a question anew",
    response_model=ChatAnswer,
    responses={**guarded(*ERRORS, 500, 502, 504), 200: {**STREAM[200], "model": ChatAnswer}},
    dependencies=[Depends(KnownNames("user_id", "format"))],
    openapi_extra=json_body(TurnOptions, {"stream": {"value": {"stream": True}}}),
)
async def again(
    invoking: TheInvoking, conversation: TheConversation, message_id: _MessageId, wanted: Format = None
) -> Response:
    """Write another answer to the same question, and show that one; the old one stays as another branch."""
    asked, body = await _options(invoking)
    chat = await start_again(invoking, conversation, message_id, asked, body=body)
    if asked.stream or wanted is not None:
        return stream_of(chat, wanted or "seed003", invoking=invoking)
    return await whole_answer(chat, invoking)


@router.post(
    "/feedback",
    summary="Rate an answer",
    response_model=Message,
    responses=guarded(400, 404, 413, 422),
    dependencies=[Depends(KnownNames("user_id"))],
    openapi_extra=json_body(Feedback, {"up": {"value": {"rating": "up"}}}),
)
async def rate(invoking: TheInvoking, conversation: TheConversation, message_id: _MessageId) -> Response:
    """Say what you think of an answer, and with `expected` what its outputs should have been; the last word counts."""
    services = invoking.services
    raw = await invoking.request.body()
    asked = await parse_body(raw, Feedback, max_depth=services.settings.max_json_depth)
    rated = await rate_answer(
        conversation, message_id, asked, conversations=services.conversations, programs=services.programs
    )
    return json_answer(rated)


@router.delete(
    "/feedback",
    summary="Take a rating back",
    response_model=Message,
    responses=guarded(400, 404, 422),
    dependencies=[Depends(KnownNames("user_id"))],
)
async def unrate(conversation: TheConversation, services: TheServices, message_id: _MessageId) -> Response:
    """Leave the answer without a rating."""
    rated = await rate_answer(
        conversation, message_id, None, conversations=services.conversations, programs=services.programs
    )
    return json_answer(rated)


async def _options(invoking: Invoking) -> tuple[TurnOptions, bytes]:
    """Read a body that may be left out."""
    body = await invoking.request.body()
    max_depth = invoking.services.settings.max_json_depth
    return await parse_body(body or b"{}", TurnOptions, max_depth=max_depth), body
