"""``/programs/{name}/aliases``: the names that move, so that callers need not."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import JobsWriter, ProgramsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.preconditions import TheSeen, TheSeenOrNew, etag
from dspy_service.api.program_path import AliasText, TheAlias, TheProgram
from dspy_service.api.services import TheServices
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.program import Alias, AliasName
from dspy_service.usecases.serving import move_alias

router = APIRouter(prefix="/programs", tags=["programs"])

_NAME: TypeAdapter[str] = TypeAdapter(AliasName)


def _whole(value: object) -> object:
    """JSON knows one kind of number: 2.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class AliasMove(Schema):
    """The body of ``PUT /programs/{name}/aliases/{alias}``."""

    version: Annotated[
        int,
        Field(ge=1, le=999_999_999, description="Where it is to stand; an active version."),
        BeforeValidator(_whole),
    ]


_EXAMPLES = {"move": {"summary": "Let callers of the bare name use version 2", "value": {"version": 2}}}


@router.get("/{name}/aliases/{alias}", summary="Where an alias stands", response_model=Alias, responses=guarded(404))
async def alias(caller: ProgramsReader, name: TheProgram, alias: TheAlias, services: TheServices) -> Response:
    """Return the alias; its `ETag` is for `If-Match`."""
    found = await move_alias.find_alias(name, alias, tenant=caller.tenant, programs=services.programs)
    return _answer(found)


@router.put(
    "/{name}/aliases/{alias}",
    summary="Move an alias, or make one",
    response_model=Alias,
    responses=guarded(404, 409, 412, 413, 422),
    openapi_extra=json_body(AliasMove, _EXAMPLES),
)
async def move(
    caller: JobsWriter,
    name: TheProgram,
    alias: AliasText,
    request: Request,
    services: TheServices,
    seen: TheSeenOrNew,
) -> Response:
    """Point an alias at a version; runs that started before go on with theirs. 409 for a retired version."""
    asked = await parse_body(await request.body(), AliasMove, max_depth=services.settings.max_json_depth)
    moved = await move_alias.move_alias(
        name, _checked(alias), asked.version, tenant=caller.tenant, programs=services.programs, seen=seen
    )
    return _answer(moved)


@router.post(
    "/{name}/aliases/{alias}/rollback",
    summary="Move an alias back",
    response_model=Alias,
    responses=guarded(404, 409, 412),
)
async def rollback(
    caller: JobsWriter, name: TheProgram, alias: TheAlias, services: TheServices, seen: TheSeen
) -> Response:
    """Point an alias at the version that it named before; twice, and it stands where it did."""
    moved = await move_alias.roll_back(name, alias, tenant=caller.tenant, programs=services.programs, seen=seen)
    return _answer(moved)


@router.delete(
    "/{name}/aliases/{alias}",
    summary="Forget an alias",
    status_code=204,
    response_class=Response,
    responses=guarded(400, 404, 412),
)
async def delete(
    caller: JobsWriter, name: TheProgram, alias: TheAlias, services: TheServices, seen: TheSeen
) -> Response:
    """Forget an alias; its version stays. `production` cannot be forgotten."""
    await move_alias.delete_alias(name, alias, tenant=caller.tenant, programs=services.programs, seen=seen)
    return Response(status_code=204)


def _answer(found: Alias) -> Response:
    return json_answer(found, headers={"etag": etag(found.revision)})


def _checked(alias: str) -> str:
    try:
        return _NAME.validate_python(alias)
    except ValidationError:
        message = "is no name for an alias; begin with a letter, then letters, digits, dot, dash, underscore; not v3"
        raise InvalidRequestError.of("alias", message) from None
