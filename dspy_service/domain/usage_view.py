"""What a job's language models have cost, as the HTTP API tells it: by role, by model and in total."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field, JsonValue

from dspy_service.domain.result import RoleUsage, Usage


class UsageView(Usage):
    """The answer of ``GET /jobs/{job_id}/usage``. Calls, tokens and money count once over all attempts."""

    job_id: str
    is_final: Annotated[bool, Field(description="Whether the job has ended; else these are the newest figures.")]
    models: Annotated[dict[str, RoleUsage], Field(description="The same as `roles`, summed by model.")]


def view_usage(job_id: str, usage: Usage, *, is_final: bool) -> UsageView:
    """Compose the view."""
    return UsageView.model_construct(
        **dict(usage),
        job_id=job_id,
        is_final=is_final,
        models=_by_model(usage.roles.values()),
    )


def usage_of(roles: Mapping[str, JsonValue]) -> Usage:
    """Return the totals of a ``usage`` event's ``roles``; the cost is known only when that of every called role is."""
    used = {name: RoleUsage.model_validate(role, strict=False, extra="ignore") for name, role in roles.items()}
    called = [role for role in used.values() if role.calls]
    paid = sum(role.calls for role in called)
    free = sum(role.cached_calls + role.shared_cache_calls for role in used.values())
    return Usage(
        roles=used,
        total_calls=paid,
        total_tokens=sum(role.prompt_tokens + role.completion_tokens for role in called),
        estimated_calls=sum(role.estimated_calls for role in called),
        cost_usd=_cost(called),
        unpriced_models=sorted({role.model for role in called if role.cost_usd is None}),
        cache_hit_rate=free / (paid + free) if paid + free else None,
    )


def _by_model(roles: Iterable[RoleUsage]) -> dict[str, RoleUsage]:
    of_model: dict[str, list[RoleUsage]] = {}
    for role in roles:
        of_model.setdefault(role.model, []).append(role)
    return {model: _sum(model, used) for model, used in of_model.items()}


def _sum(model: str, used: list[RoleUsage]) -> RoleUsage:
    counts = [name for name, field in RoleUsage.model_fields.items() if field.annotation is int]
    totals = {name: sum(getattr(each, name) for each in used) for name in counts}
    return RoleUsage.model_validate(
        {"model": model, **totals, "cost_usd": _cost([each for each in used if each.calls])}
    )


def _cost(called: list[RoleUsage]) -> float | None:
    costs = [each.cost_usd for each in called if each.cost_usd is not None]
    return sum(costs) if called and len(costs) == len(called) else None
