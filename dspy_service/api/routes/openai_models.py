"""``/v1/models``: every program that is served is a model."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import ProgramsReader
from dspy_service.api.openai.errors import OpenAIRoute, explained
from dspy_service.api.services import TheServices
from dspy_service.domain.serving.chat_fields import fields_of
from dspy_service.domain.serving.program import PRODUCTION, Program, ProgramVersion
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.resolve_program import resolve_program

router = APIRouter(prefix="/models", tags=["openai"], route_class=OpenAIRoute)

_PAGE = 200
_MOST = 1000
"""Names in one answer: OpenAI's API has no pages here."""


class ModelView(BaseModel):
    """A program, or an alias of one, as a model."""

    id: Annotated[str, Field(description="What to send as `model`; `name@v3` of any version works too.")]
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="Seconds since 1970, of its version.")]
    owned_by: str = "dspy-service"
    dspy: Annotated[dict[str, Any], Field(description="Not OpenAI's: the version, its fields and its scores.")]


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelView]


@router.get("", summary="Programs as models", response_model=ModelList, responses=explained())
async def models(caller: ProgramsReader, services: TheServices) -> Response:
    """List every program of the caller's tenant, by its name for `production` and by its other aliases."""
    found: list[ModelView] = []
    after: str | None = None
    has_more = True
    while has_more and len(found) < _MOST:
        page, has_more = await services.programs.programs(caller.tenant, after=after, limit=_PAGE)
        for views in await asyncio.gather(*(_views(program, services.programs) for program in page)):
            found += views
        after = page[-1].name if page else None
    return json_answer(ModelList(data=found))


@router.get("/{model}", summary="A program as a model", response_model=ModelView, responses=explained(404, 409))
async def model(
    caller: ProgramsReader,
    model: Annotated[str, Path(description="As `POST /v1/chat/completions` takes it.")],
    services: TheServices,
) -> Response:
    """Return one of them; `name@v3` too."""
    version = await resolve_program(model, tenant=caller.tenant, programs=services.programs)
    return json_answer(_view(model, version))


async def _views(program: Program, programs: ProgramStore) -> list[ModelView]:
    found = await asyncio.gather(
        *(programs.version(program.tenant, program.name, alias.version) for alias in program.aliases)
    )
    return [
        _view(program.name if alias.name == PRODUCTION else f"{program.name}@{alias.name}", version)
        for alias, version in zip(program.aliases, found, strict=True)
    ]


def _view(name: str, version: ProgramVersion) -> ModelView:
    fields = fields_of(version)
    described = {
        "program": version.program,
        "version": version.version,
        "digest": version.digest,
        "signature": version.interface.signature_name,
        "inputs": {field.name: field.json_schema for field in version.interface.inputs},
        "outputs": {field.name: field.json_schema for field in version.interface.outputs},
        "question": fields.question,
        "history": fields.history,
        "answer": fields.answer,
        "adapter": version.adapter,
        "lm": version.lm.name,
        "optimizer": version.optimizer_name,
        "score": version.optimized_score,
    }
    return ModelView(id=name, created=int(version.created_at.timestamp()), dspy=described)
