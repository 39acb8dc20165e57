"""``GET /usage``: what the served programs of a tenant have cost."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BeforeValidator

from dspy_service.api.answers import json_answer
from dspy_service.api.callers import JobsReader
from dspy_service.api.envelope import guarded
from dspy_service.api.query import KnownNames
from dspy_service.api.services import TheServices
from dspy_service.domain.serving.usage_view import ServingUsageView, UsageGroup
from dspy_service.usecases.serving.read_serving_usage import MAX_ROWS, UsageQuery, read_serving_usage

router = APIRouter(tags=["programs"])

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _as_iso(value: object) -> object:
    """Let nothing else through that could be taken for a day, such as a count of seconds."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        message = "must be a day, such as 2026-01-31"
        raise ValueError(message)
    return value


_Day = Annotated[date | None, BeforeValidator(_as_iso)]


@router.get(
    "/usage",
    summary="What serving has cost",
    response_model=ServingUsageView,
    responses=guarded(422),
    dependencies=[Depends(KnownNames("program", "version", "key_id", "from", "to", "group_by", "limit"))],
)
async def usage(
    caller: JobsReader,
    services: TheServices,
    program: Annotated[str | None, Query(max_length=63, description="Only this one.")] = None,
    version: Annotated[int | None, Query(ge=1, le=999_999_999, description="Only those with this number.")] = None,
    key_id: Annotated[str | None, Query(max_length=64, description="Only what was called with this key.")] = None,
    first: Annotated[_Day, Query(alias="from", description="First day, by UTC; without it, thirty days.")] = None,
    last: Annotated[_Day, Query(alias="to", description="Last day, included; without it, today.")] = None,
    group_by: Annotated[UsageGroup | None, Query(description="Without it, only `totals`.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="Most groups.")] = MAX_ROWS,
) -> Response:
    """Sum up your tenant's runs that have ended: how they ended, calls, tokens, money. A run counts on its last day."""
    query = UsageQuery(
        tenant=caller.tenant,
        first=first,
        last=last,
        program=program,
        version=version,
        key_id=key_id,
        group_by=group_by,
        limit=limit,
    )
    return json_answer(await read_serving_usage(query, today=datetime.now(UTC).date(), runs=services.runs))
