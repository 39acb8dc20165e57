"""From a request of the Responses API to the run that answers it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import JsonValue

from dspy_service.api.invoking import Invoking
from dspy_service.api.openai.bodies import ResponseRequest
from dspy_service.api.openai.responses import run_id_of
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.chat_fields import Turn, fields_of, recent
from dspy_service.domain.serving.conversation import Conversation
from dspy_service.domain.serving.openai_mapping import AskedRun, asked_run, wanted_outputs
from dspy_service.domain.serving.openai_memo import RememberedTurn, ResponseMemo
from dspy_service.domain.serving.openai_messages import Said, Talk, read_messages, read_talk
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run
from dspy_service.usecases.serving.chat import take_turn
from dspy_service.usecases.serving.conversations import find_conversation
from dspy_service.usecases.serving.responses import turns_before
from dspy_service.usecases.serving.start_run import start_run


async def start_response(
    invoking: Invoking, asked: ResponseRequest, version: ProgramVersion, *, body: bytes, ignored: Sequence[str]
) -> Run:
    """Start the run, in its conversation if it names one; its memo is what the API must know of it again.

    Raises:
        InvalidRequestError: the input is not what the program takes, or what it goes on from does not fit.
        ConversationNotFoundError: there is no such conversation, or it is another user's.
    """
    services = invoking.services
    talk = _talk(asked)
    conversation = await _conversation(asked, talk, invoking)
    mapped = asked_run(talk, version, path="input", inputs=asked.inputs or {}, before=await _before(asked, invoking))
    memo = _memo(asked, talk, mapped, version, ignored)
    invocation = invoking.invocation(
        version,
        mapped.inputs,
        body=body,
        options=asked.options(mapped.instructions),
        on_disconnect="continue" if asked.background else "cancel",
        inputs_path="inputs",
    )
    ready = replace(invocation, memo=memo.model_dump(mode="json", exclude_defaults=True) | {"kind": memo.kind})
    if conversation is None:
        run, _ = await start_run(ready, runs=services.runs)
        return run
    return await take_turn(
        None,
        ready,
        conversation=conversation,
        now=datetime.now(UTC),
        conversations=services.conversations,
        runs=services.runs,
    )


def _talk(asked: ResponseRequest) -> Talk:
    said = read_messages(asked.items(), path="input")
    system = [Said("system", asked.instructions)] if asked.instructions else []
    return read_talk([*system, *said], path="input")


async def _conversation(asked: ResponseRequest, talk: Talk, invoking: Invoking) -> Conversation | None:
    name = asked.conversation_id
    if name is None:
        return None
    if asked.previous_response_id is not None:
        message = "cannot be combined with `previous_response_id`; send one of them"
        raise InvalidRequestError.of("conversation", message)
    if talk.pairs:
        message = "must be new messages only: what was said before stands in the conversation"
        raise InvalidRequestError.of("input", message)
    return await find_conversation(
        name, tenant=invoking.caller.tenant, owner=asked.user, conversations=invoking.services.conversations
    )


async def _before(asked: ResponseRequest, invoking: Invoking) -> list[Turn]:
    if asked.previous_response_id is None:
        return []
    services = invoking.services
    return await turns_before(
        run_id_of(asked.previous_response_id),
        tenant=invoking.caller.tenant,
        runs=services.runs,
        programs=services.programs,
    )


def _memo(
    asked: ResponseRequest, talk: Talk, mapped: AskedRun, version: ProgramVersion, ignored: Sequence[str]
) -> ResponseMemo:
    form = None if asked.text is None else asked.text.format
    outputs = wanted_outputs(form, version.interface, path="text.format")
    mapping, fields = version.chat, fields_of(version)
    kept = recent(mapped.turns, max_turns=mapping.history_turns, max_tokens=mapping.history_tokens)
    items: list[JsonValue] = asked.items()
    return ResponseMemo(
        background=bool(asked.background),
        previous_response_id=asked.previous_response_id,
        instructions=asked.instructions,
        metadata=asked.metadata or {},
        input=items,
        outputs=None if outputs is None else list(outputs),
        warnings=[*mapped.warnings, *ignored],
        message=talk.message,
        turns=[RememberedTurn.of(turn, fields) for turn in kept],
    )
