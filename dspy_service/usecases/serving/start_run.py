"""Starts a run of a program: checks what goes in, records it, and lets a serving worker take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import uuid_utils
from pydantic import JsonValue

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.serving.inputs import check_inputs
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import MultitaskStrategy, NewRun, OnDisconnect, Run, RunOptions
from dspy_service.domain.serving.run_events import Started
from dspy_service.ports.serving.runs import RunRecords

MAX_IDEMPOTENCY_KEY_LENGTH = 255
_AS_THE_VERSION_SAYS = RunOptions()


@dataclass(frozen=True)
class Invocation:
    """One call of a program, as it came in."""

    tenant: str
    version: ProgramVersion
    """As ``resolve_program`` returned it."""
    inputs: Mapping[str, JsonValue]
    options: RunOptions = _AS_THE_VERSION_SAYS
    on_disconnect: OnDisconnect = "cancel"
    key_id: str | None = None
    """The API key that pays; None in open mode."""
    idempotency_key: str | None = None
    body_sha256: str = ""
    """Of what was asked, the program's name included; tells a replay from a key that was used twice."""
    max_live_runs: int = 0
    """Of the tenant, this one included; 0: any number."""
    max_conversations: int = 0
    """Of the tenant; 0: any number."""
    max_messages: int = 0
    """Of the conversation, those of all branches; 0: any number."""
    run_id: str | None = None
    """None: a new one is drawn."""
    conversation_id: str | None = None
    message_id: str | None = None
    place: int = 0
    """Of the message in its conversation, as ``ConversationStore.add`` said it."""
    multitask: MultitaskStrategy = "enqueue"
    memo: Mapping[str, JsonValue] = field(default_factory=dict)
    """See ``NewRun``."""
    inputs_path: str = ""
    """Where the inputs stand in the request, for the sentences about them."""


async def start_run(invocation: Invocation, *, runs: RunRecords) -> tuple[Run, bool]:
    """Check the inputs, then record the run with its first event and its place in the queue, in one step.

    Every answer to the caller is read from the run's log: see ``watch_run``.

    Returns:
        The run, and whether it is new (False: the idempotency key replayed an earlier one).

    Raises:
        InvalidRequestError: the inputs are not what the program takes, or the idempotency key is none.
        IdempotencyKeyReusedError: the key was used with another body.
        QuotaExceededError: the tenant has ``max_live_runs`` runs that have not ended.
        ConversationBusyError: the conversation has a run, and ``multitask`` is ``reject``.
        TurnOvertakenError: a message behind this one has its run already.
        StoreUnavailableError: it may be recorded or not; the same idempotency key tells.
    """
    check_idempotency_key(invocation.idempotency_key)
    version = invocation.version
    new = NewRun(
        run_id=invocation.run_id or new_run_id(),
        tenant=invocation.tenant,
        program=version.program,
        version=version.version,
        inputs=check_inputs(version.interface, invocation.inputs, path=invocation.inputs_path),
        options=invocation.options,
        conversation_id=invocation.conversation_id,
        message_id=invocation.message_id,
        on_disconnect=invocation.on_disconnect,
        key_id=invocation.key_id,
        idempotency_key=invocation.idempotency_key,
        body_sha256=invocation.body_sha256,
        memo=dict(invocation.memo),
    )
    start = Started(
        run_id=new.run_id,
        program=new.program,
        version=new.version,
        model=version.lm.name,
        conversation_id=new.conversation_id,
        message_id=new.message_id,
    )
    return await runs.create(
        new,
        start=start,
        multitask=invocation.multitask,
        max_live_runs=invocation.max_live_runs,
        place=invocation.place,
    )


def new_run_id() -> str:
    """Return the id of a run that is still to be recorded; ids sort by their time."""
    return f"run_{uuid_utils.uuid7()}"


def check_idempotency_key(key: str | None) -> None:
    """Refuse a key that cannot be kept. Raises InvalidRequestError."""
    if key is None:
        return
    if not key or len(key) > MAX_IDEMPOTENCY_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        message = f"must be 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters"
        raise InvalidRequestError.of("Idempotency-Key", message)
