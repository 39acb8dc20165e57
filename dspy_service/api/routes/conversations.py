"""``/conversations``: what was said, and the rows that rated answers make."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

import pydantic_core
from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import Invoker
from dspy_service.api.chatting import version_for
from dspy_service.api.conversation_path import TheConversation, User
from dspy_service.api.envelope import guarded
from dspy_service.api.invoking import TheInvoking
from dspy_service.api.query import KnownNames
from dspy_service.api.services import TheServices
from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Caller
from dspy_service.domain.schema import Schema
from dspy_service.domain.secrets import refuse_secrets
from dspy_service.domain.serving.conversation import (
    MAX_METADATA_PAIRS,
    MAX_OWNER_LENGTH,
    MAX_TITLE_LENGTH,
)
from dspy_service.domain.serving.conversation_views import (
    ConversationDeleted,
    ConversationDetail,
    ConversationList,
    ConversationView,
    view_conversation,
    view_conversations,
    view_detail,
)
from dspy_service.domain.spec import MAX_METADATA_LENGTH
from dspy_service.usecases.serving.conversations import (
    delete_conversation,
    new_conversation,
    read_messages,
)
from dspy_service.usecases.serving.export import export_rated

router = APIRouter(prefix="/conversations", tags=["conversations"])

_Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_LENGTH)],
        Annotated[str, Field(max_length=MAX_METADATA_LENGTH)],
    ]
    | None,
    Field(max_length=MAX_METADATA_PAIRS, description="Up to 16 short pairs of your own."),
]


class ConversationChange(Schema):
    """What may be changed of a conversation; null leaves it."""

    title: Annotated[
        str | None, Field(min_length=1, max_length=MAX_TITLE_LENGTH, description="A line to find it by.")
    ] = None
    metadata: _Metadata = None


class ConversationRequest(ConversationChange):
    """The body of ``POST /conversations``."""

    user_id: Annotated[
        str | None, Field(max_length=MAX_OWNER_LENGTH, description="Which of your users it belongs to.")
    ] = None
    program: Annotated[
        str | None, Field(max_length=200, description="What answers, as in `POST /v1/chat`; null: the default program.")
    ] = None


@router.post(
    "",
    summary="Start a conversation",
    status_code=201,
    response_model=ConversationView,
    responses=guarded(400, 404, 409, 413, 422),
    openapi_extra=json_body(ConversationRequest, {"user": {"value": {"user_id": "user_456", "title": "Deploying"}}}),
)
async def create(invoking: TheInvoking) -> Response:
    """Make an empty conversation; `POST /v1/chat` without one makes its own."""
    services = invoking.services
    raw = await invoking.request.body()
    asked = await parse_body(raw, ConversationRequest, max_depth=services.settings.max_json_depth)
    refuse_secrets({"metadata": dict(asked.metadata or {})})
    version = await version_for(asked.program, invoking)
    made = await services.conversations.create(
        new_conversation(
            asked.program or version.program,
            tenant=invoking.caller.tenant,
            owner=asked.user_id,
            title=asked.title,
            metadata=asked.metadata,
        ),
        max_conversations=invoking.max_conversations,
    )
    answer = json_answer(view_conversation(made), headers={"location": f"/v1/conversations/{made.conversation_id}"})
    answer.status_code = 201
    return answer


@router.get(
    "",
    summary="Conversations, the one that changed last first",
    response_model=ConversationList,
    responses=guarded(404, 422),
    dependencies=[Depends(KnownNames("user_id", "limit", "after"))],
)
async def index(
    caller: Invoker,
    services: TheServices,
    user_id: User = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Entries in this page.")] = 20,
    after: Annotated[str | None, Query(max_length=64, description="`last_id` of the page before.")] = None,
) -> Response:
    """Return a page of conversations without their messages."""
    found, has_more = await services.conversations.page(caller.tenant, owner=user_id, after=after, limit=limit)
    return json_answer(view_conversations(found, has_more=has_more))


@router.get(
    "/export",
    summary="Rated answers as rows of a dataset",
    response_class=Response,
    responses={
        **guarded(422),
        200: {
            "description": "One JSON object in each line: a row for `dataset` of `POST /v1/run`.",
            "content": {"application/jsonl": {"schema": {"type": "string"}}},
        },
    },
    dependencies=[Depends(KnownNames("user_id", "program"))],
)
async def export(
    caller: Invoker,
    services: TheServices,
    user_id: User = None,
    program: Annotated[str | None, Query(max_length=63, description="Only of conversations with this program.")] = None,
) -> Response:
    """Return the inputs and outputs of every answer that was rated `up`, or corrected by `expected`."""
    return StreamingResponse(_lines(caller, services, user_id, program), media_type="application/jsonl")


@router.get(
    "/{conversation}",
    summary="A conversation with its messages",
    response_model=ConversationDetail,
    responses=guarded(404, 422),
    dependencies=[Depends(KnownNames("user_id", "limit", "head_id"))],
)
async def detail(
    conversation: TheConversation,
    services: TheServices,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many of the newest messages.")] = 100,
    head_id: Annotated[
        str | None, Query(max_length=64, description="The last message of another branch; default: the shown one.")
    ] = None,
) -> Response:
    """Return the newest messages of a branch, oldest first. An answer that is being written has status `writing`."""
    messages = await read_messages(
        conversation,
        head_id=head_id,
        limit=limit,
        now=datetime.now(UTC),
        runs=services.runs,
        conversations=services.conversations,
        programs=services.programs,
    )
    return json_answer(view_detail(conversation, messages))


@router.post(
    "/{conversation}",
    summary="Change its title or metadata",
    response_model=ConversationView,
    responses=guarded(404, 413, 422),
    dependencies=[Depends(KnownNames("user_id"))],
    openapi_extra=json_body(ConversationChange, {"title": {"value": {"title": "Deploying"}}}),
)
async def change(invoking: TheInvoking, conversation: TheConversation) -> Response:
    """Set what is not null."""
    services = invoking.services
    raw = await invoking.request.body()
    asked = await parse_body(raw, ConversationChange, max_depth=services.settings.max_json_depth)
    refuse_secrets({"metadata": dict(asked.metadata or {})})
    changed = await services.conversations.change(
        conversation.tenant, conversation.conversation_id, title=asked.title, metadata=asked.metadata
    )
    return json_answer(view_conversation(changed))


@router.delete(
    "/{conversation}",
    summary="Delete a conversation",
    response_model=ConversationDeleted,
    responses=guarded(404, 422),
    dependencies=[Depends(KnownNames("user_id"))],
)
async def delete(conversation: TheConversation, services: TheServices) -> Response:
    """Forget it with its messages and ratings; a run that writes in it is ended."""
    await delete_conversation(conversation, runs=services.runs, conversations=services.conversations)
    return json_answer(ConversationDeleted(conversation_id=conversation.conversation_id))


async def _lines(
    caller: Caller, services: Services, owner: str | None, program: str | None
) -> AsyncGenerator[bytes, None]:
    rows: AsyncGenerator[dict[str, JsonValue], None] = export_rated(
        tenant=caller.tenant,
        program=program,
        owner=owner,
        conversations=services.conversations,
        programs=services.programs,
    )
    async with aclosing(rows):
        async for row in rows:
            yield pydantic_core.to_json(row) + b"\n"
