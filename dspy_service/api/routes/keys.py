"""``/keys``: an admin makes, lists and revokes the API keys of its own tenant."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import Admin
from dspy_service.api.envelope import guarded
from dspy_service.api.services import TheServices
from dspy_service.domain.keys import MAX_KEY_NAME_LENGTH, USER_SCOPES, ApiKeyView, CreatedKey, Scope, view_key
from dspy_service.domain.schema import Schema
from dspy_service.usecases.create_key import create_key

router = APIRouter(prefix="/keys", tags=["keys"])

_LONGEST_LIFE_SECONDS = 100 * 365 * 24 * 3600


class KeyRequest(Schema):
    """The body of ``POST /keys``. There is no tenant in it: a key opens what its maker's key opens."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_KEY_NAME_LENGTH,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="For people, to tell keys apart.",
            examples=["ci"],
        ),
    ]
    scopes: Annotated[
        tuple[Scope, ...], Field(min_length=1, max_length=len(Scope), description="What the key may do.")
    ] = USER_SCOPES
    expires_in_seconds: Annotated[
        float | None, Field(gt=0, le=_LONGEST_LIFE_SECONDS, description="Null: it never expires.")
    ] = None


class KeyList(Schema):
    """The answer of ``GET /keys``."""

    object: Literal["list"] = "list"
    data: list[ApiKeyView]
    has_more: Annotated[bool, Field(description="Always false: the list is whole.")] = False
    last_id: str | None


_EXAMPLES = {"ci": {"summary": "A key for a build server", "value": {"name": "ci", "expires_in_seconds": 7_776_000}}}


@router.post(
    "",
    summary="Make a key",
    response_model=CreatedKey,
    responses=guarded(413, 422),
    openapi_extra=json_body(KeyRequest, _EXAMPLES),
)
async def create(caller: Admin, request: Request, services: TheServices) -> Response:
    """Make a key of your own tenant and return its token, this once. The first key of a service ends open mode."""
    asked = await parse_body(await request.body(), KeyRequest, max_depth=services.settings.max_json_depth)
    created = await create_key(
        name=asked.name,
        tenant=caller.tenant,
        scopes=asked.scopes,
        lifetime_seconds=asked.expires_in_seconds,
        keys=services.keys,
        pepper=services.secret_key,
        now=datetime.now(UTC),
        giver_scopes=caller.scopes,
    )
    return json_answer(created)


@router.get("", summary="Your tenant's keys", response_model=KeyList, responses=guarded())
async def index(caller: Admin, services: TheServices) -> Response:
    """Return all keys, oldest first, the revoked ones too; never a token."""
    keys = await services.keys.list(caller.tenant)
    found = KeyList(data=[view_key(key) for key in keys], last_id=keys[-1].key_id if keys else None)
    return json_answer(found)


@router.delete("/{key_id}", summary="Revoke a key", response_model=ApiKeyView, responses=guarded(404))
async def revoke(
    caller: Admin,
    key_id: Annotated[str, Path(description="As `GET /keys` lists it: the part between `dsk_` and the dot.")],
    services: TheServices,
) -> Response:
    """Close a key for good, from the next request on; its record stays. Doing it again changes nothing."""
    revoked = await services.keys.revoke(key_id, tenant=caller.tenant, now=datetime.now(UTC))
    return json_answer(view_key(revoked))
