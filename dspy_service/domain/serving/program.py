"""A program that is served: a name, immutable versions, and aliases that move."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.times import UtcTime

PRODUCTION = "production"
"""The alias that a program's bare name means."""

ProgramName = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        examples=["support-answers"],
        description="Lower case letters, digits, dot, dash and underscore; at most 63 characters.",
    ),
]


def _no_number(alias: str) -> str:
    if re.fullmatch(r"v[0-9]+", alias):
        message = "looks like the number of a version; choose a word"
        raise ValueError(message)
    return alias


AliasName = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9._-]{0,62}$",
        examples=["production"],
        description="Begins with a letter; not `v` and a number, which is a version.",
    ),
    AfterValidator(_no_number),
]

AdapterName = Literal["chat", "json", "xml", "text"]
"""How a prompt is written and an answer is read: DSPy's ChatAdapter, JSONAdapter, XMLAdapter; or ``text``, for programs
whose only output is a text: ChatAdapter's prompt, but the whole answer is the field, so its first token is the model's.
"""

Hosting = Literal["plain", "confined"]
"""``plain``: rebuilt from data, and no submitted code runs. ``confined``: its code runs in a confined process."""

VersionStatus = Literal["active", "retired"]
HistoryPolicy = Literal["prepend", "ignore", "reject"]


class ChatMapping(Schema):
    """Which fields carry a chat; null: found by the rule of ``chat_fields``."""

    question: Annotated[str | None, Field(description="Input field that takes the user's message.")] = None
    answer: Annotated[str | None, Field(description="Output field that is the reply.")] = None
    history: Annotated[str | None, Field(description="Input field of type dspy.History.")] = None
    history_policy: Annotated[
        HistoryPolicy,
        Field(description="For a program without a history field: earlier turns before the message, or not at all."),
    ] = "prepend"
    allow_system: Annotated[
        bool,
        Field(
            description="Whether a caller's system message may be added to the instructions; for `predict` and `cot`."
        ),
    ] = False
    history_turns: Annotated[
        int, Field(ge=0, le=200, description="How many earlier turns a program is told at most; the newest ones.")
    ] = 20
    history_tokens: Annotated[
        int, Field(ge=0, le=1_000_000, description="How many tokens they have together, about: a quarter of the bytes.")
    ] = 8_000


class NewVersion(Schema):
    """A version before the store numbers it."""

    tenant: str
    program: ProgramName
    artifact_folder: str
    """Folder of the artifact store with the version's own signed files; never a job's, which may be deleted."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of program, metadata, model and adapter: equal versions have equal digests."""
    module_name: str
    module_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    interface: ProgramInterface
    hosting: Hosting
    hosting_reason: str | None = None
    """Why data is not enough, as half a sentence; None: it is."""
    lm: ModelSettings
    adapter: AdapterName = "chat"
    chat: ChatMapping = Field(default_factory=ChatMapping)
    job_id: str | None = None
    """The job that compiled it; None for an upload."""
    optimizer_name: str | None = None
    baseline_score: float | None = None
    optimized_score: float | None = None
    """Both on the job's test split."""
    metadata: Mapping[str, str] = Field(default_factory=dict)


class ProgramVersion(NewVersion):
    """One version; only its status ever changes."""

    version: Annotated[int, Field(ge=1)]
    """Rises by one within a program, and is never given again."""
    created_at: UtcTime
    status: VersionStatus = "active"


class Alias(Schema):
    """A name for the version that is meant now."""

    name: AliasName
    version: Annotated[int, Field(ge=1)]
    previous_version: Annotated[int | None, Field(ge=1)] = None
    """Where a rollback moves it."""
    revision: Annotated[int, Field(ge=1)]
    """Rises with every move; the number in its ``ETag``."""
    moved_at: UtcTime


class Program(Schema):
    """A name with everything that stands under it, but the versions themselves."""

    name: ProgramName
    tenant: str
    created_at: UtcTime
    latest_version: Annotated[int, Field(ge=1)]
    aliases: list[Alias] = Field(default_factory=list)
