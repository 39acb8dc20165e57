"""``/programs``: versions of what is served, and the aliases that callers use."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import JobsWriter, ProgramsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.program_path import TheOtherVersion, TheProgram, TheVersion
from dspy_service.api.query import KnownNames
from dspy_service.api.services import TheServices
from dspy_service.domain.serving.program_views import (
    ProgramList,
    ProgramView,
    VersionList,
    VersionView,
    view_program,
    view_programs,
    view_version,
    view_versions,
)
from dspy_service.domain.serving.version_difference import VersionDifference
from dspy_service.usecases.serving.compare_versions import compare
from dspy_service.usecases.serving.delete_program import delete_program, delete_version

router = APIRouter(prefix="/programs", tags=["programs"])

_Limit = Annotated[int, Query(ge=1, le=100, description="Entries in this page.")]


@router.get(
    "",
    summary="Your programs, by name",
    response_model=ProgramList,
    responses=guarded(422),
    dependencies=[Depends(KnownNames("limit", "after"))],
)
async def index(
    caller: ProgramsReader,
    services: TheServices,
    limit: _Limit = 20,
    after: Annotated[str | None, Query(max_length=63, description="`last_name` of the page before.")] = None,
) -> Response:
    """Return a page of programs with their aliases."""
    found, has_more = await services.programs.programs(caller.tenant, after=after, limit=limit)
    return json_answer(view_programs(found, has_more=has_more))


@router.get("/{name}", summary="A program and its aliases", response_model=ProgramView, responses=guarded(404))
async def program(caller: ProgramsReader, name: TheProgram, services: TheServices) -> Response:
    """Return the newest version's number, and where each alias stands."""
    return json_answer(view_program(await services.programs.program(caller.tenant, name)))


@router.get(
    "/{name}/versions",
    summary="Its versions, newest first",
    response_model=VersionList,
    responses=guarded(404, 422),
    dependencies=[Depends(KnownNames("limit", "before"))],
)
async def versions(
    caller: ProgramsReader,
    name: TheProgram,
    services: TheServices,
    limit: _Limit = 20,
    before: Annotated[int | None, Query(ge=1, le=999_999_999, description="`last_version` of the page before.")] = None,
) -> Response:
    """Return a page of versions, the retired ones too."""
    found, has_more = await services.programs.versions(caller.tenant, name, before=before, limit=limit)
    return json_answer(view_versions(found, has_more=has_more))


@router.get("/{name}/versions/{version}", summary="One version", response_model=VersionView, responses=guarded(404))
async def version(caller: ProgramsReader, name: TheProgram, version: TheVersion, services: TheServices) -> Response:
    """Return what the version takes, gives and was made of."""
    return json_answer(view_version(await services.programs.version(caller.tenant, name, version)))


@router.get(
    "/{name}/versions/{version}/compare/{other}",
    summary="What changed between two versions",
    response_model=VersionDifference,
    responses=guarded(404, 500),
)
async def difference(
    caller: ProgramsReader, name: TheProgram, version: TheVersion, other: TheOtherVersion, services: TheServices
) -> Response:
    """Compare instructions, demonstrations, fields, scores and settings: from `version` to `other`."""
    found = await compare(
        name,
        version,
        other,
        tenant=caller.tenant,
        programs=services.programs,
        artifacts=services.artifacts,
        secret_key=services.secret_key,
    )
    return json_answer(found)


@router.post(
    "/{name}/versions/{version}/retire",
    summary="Let no new run use a version",
    response_model=VersionView,
    responses=guarded(404, 409),
)
async def retire(caller: JobsWriter, name: TheProgram, version: TheVersion, services: TheServices) -> Response:
    """Retire a version for good; what runs goes on. Again changes nothing; 409 while an alias names it."""
    return json_answer(view_version(await services.programs.retire(caller.tenant, name, version)))


@router.delete(
    "/{name}/versions/{version}",
    summary="Delete a retired version",
    status_code=204,
    response_class=Response,
    responses=guarded(404, 409),
)
async def forget_version(caller: JobsWriter, name: TheProgram, version: TheVersion, services: TheServices) -> Response:
    """Delete a version with its files; its number is not given again. 409 until it is retired."""
    await delete_version(name, version, tenant=caller.tenant, programs=services.programs, artifacts=services.artifacts)
    return Response(status_code=204)


@router.delete(
    "/{name}",
    summary="Delete a program",
    status_code=204,
    response_class=Response,
    responses=guarded(404, 409),
)
async def forget(caller: JobsWriter, name: TheProgram, services: TheServices) -> Response:
    """Delete a program with all its versions and their files; runs that have not begun fail.

    409 while it has another alias than `production`: somebody made that for a reason.
    """
    await delete_program(name, tenant=caller.tenant, programs=services.programs, artifacts=services.artifacts)
    return Response(status_code=204)
