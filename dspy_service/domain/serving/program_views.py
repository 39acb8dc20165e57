"""The answers of the HTTP API about served programs."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.interface import ProgramInterface
from dspy_service.domain.serving.program import (
    AdapterName,
    Alias,
    ChatMapping,
    Hosting,
    Program,
    ProgramVersion,
    VersionStatus,
)
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.times import UtcTime


class VersionView(Schema):
    """One version; of all this only `status` ever changes."""

    program: str
    version: Annotated[int, Field(ge=1, description="Call it as `<program>@v<version>`.")]
    status: VersionStatus
    created_at: UtcTime
    digest: Annotated[str, Field(description="SHA-256; equal versions have equal digests.")]
    module_name: str
    module_kwargs: dict[str, JsonValue]
    interface: Annotated[ProgramInterface, Field(description="What goes in and what comes out.")]
    hosting: Annotated[
        Hosting,
        Field(
            description="`plain`: rebuilt from data, no submitted code runs. `confined`: its code runs, "
            "in a confined process."
        ),
    ]
    hosting_reason: Annotated[
        str | None, Field(description="Why data is not enough, as half a sentence; null: it is.")
    ] = None
    lm: ModelSettings = Field(alias="model_config")
    adapter: AdapterName
    chat: ChatMapping
    job_id: Annotated[str | None, Field(description="The job that compiled it; null: it was uploaded.")]
    optimizer_name: str | None
    baseline_score: float | None
    optimized_score: Annotated[float | None, Field(description="Both on the test split of the job.")]
    metadata: dict[str, str]


class VersionList(Schema):
    """A page of versions, newest first."""

    object: Literal["list"] = "list"
    data: list[VersionView]
    has_more: bool
    last_version: Annotated[int | None, Field(description="Ask for what is `before` it.")]


class ProgramView(Schema):
    """A program without its versions."""

    name: str
    created_at: UtcTime
    latest_version: int
    aliases: list[Alias]


class ProgramList(Schema):
    """A page of programs, by name."""

    object: Literal["list"] = "list"
    data: list[ProgramView]
    has_more: bool
    last_name: Annotated[str | None, Field(description="Ask for what is `after` it.")]


def view_version(version: ProgramVersion) -> VersionView:
    """Return what may be shown of a version."""
    shown = {name: getattr(version, name) for name in VersionView.model_fields}
    return VersionView(**{**shown, "metadata": dict(version.metadata)})


def view_versions(versions: Sequence[ProgramVersion], *, has_more: bool) -> VersionList:
    """Return a page."""
    data = [view_version(version) for version in versions]
    return VersionList(data=data, has_more=has_more, last_version=data[-1].version if data else None)


def view_program(program: Program) -> ProgramView:
    """Return what may be shown of a program."""
    return ProgramView(**{name: getattr(program, name) for name in ProgramView.model_fields})


def view_programs(programs: Sequence[Program], *, has_more: bool) -> ProgramList:
    """Return a page."""
    data = [view_program(program) for program in programs]
    return ProgramList(data=data, has_more=has_more, last_name=data[-1].name if data else None)
