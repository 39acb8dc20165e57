"""Jobs, events and costs as lines for people."""

from collections.abc import Iterator

from pydantic import JsonValue

from dspy_service.client.answers import JobSummary, UsageView
from dspy_service.domain.events import Event, EventType
from dspy_service.domain.result import RoleUsage
from dspy_service.domain.serving.usage_view import ServingFigures, ServingUsageRow, ServingUsageView, UsageGroup

_WIDTH = 100  # characters of what a line says besides its head


def state_line(job: JobSummary) -> str:
    """Return a job's state, and what it was asked for and has not done yet."""
    asked = f"  (asked to {job.requested})" if job.requested else ""
    return f"{job.job_id}  {job.status}{asked}"


def job_line(job: JobSummary) -> str:
    """Return one row of a list."""
    best = "" if job.best_score is None else f"best {job.best_score:.4g}  "
    words = (job.waiting_detail if job.waiting_reason else job.message) or ""
    return f"{job.job_id}  {job.created_at:%Y-%m-%d %H:%M}  {job.status:<10} {job.optimizer_name:<12} {best}{words}"


def event_line(event: Event) -> str:
    """Return one event."""
    text = " ".join(_words(event).split())
    shown = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
    return f"{event.timestamp:%H:%M:%S} {event.seq:>6} {event.type:<10} {shown}"


def usage_lines(usage: UsageView) -> Iterator[str]:
    """Yield the totals and each role."""
    kind = "in all" if usage.is_final else "so far"
    yield f"{usage.total_calls} calls, {usage.total_tokens} tokens, {_cost(usage.cost_usd)} {kind}"
    for role, used in usage.roles.items():
        yield f"  {role}: {_role(used)}"
    if usage.estimated_calls:
        yield f"  {usage.estimated_calls} calls came without token counts; theirs, and their cost, are estimated."
    for model in usage.unpriced_models:
        yield f"  {model} has no known price; its calls are in no sum of money."


def serving_usage_lines(usage: ServingUsageView) -> Iterator[str]:
    """Yield the totals and each group."""
    totals = usage.totals
    yield f"{usage.first_day} to {usage.last_day}: {_figures(totals)}"
    for row in usage.data:
        yield f"  {_group(row, usage.group_by)}: {_figures(row)}"
    if usage.has_more:
        yield "  There are more groups; narrow it down."
    if totals.estimated_calls:
        yield f"  {totals.estimated_calls} calls came without token counts; theirs, and their cost, are estimated."
    if totals.unpriced_calls:
        yield f"  {totals.unpriced_calls} calls have no known price; they are in no sum of money."


def _group(row: ServingUsageRow, group_by: UsageGroup | None) -> str:
    if group_by == "version":
        return f"{row.program}@v{row.version}"
    return str(row.day or row.program or row.key_id or "without a key")


def _figures(figures: ServingFigures) -> str:
    others = {name: getattr(figures, name) for name in ("incomplete", "failed", "cancelled")}
    ended = ", ".join(f"{count} {name}" for name, count in others.items() if count)
    runs = f"{figures.runs} runs ({ended})" if ended else f"{figures.runs} runs"
    calls = f"{figures.calls} calls and {figures.cached_calls} for free"
    tokens = f"{figures.prompt_tokens} + {figures.completion_tokens} tokens"
    return f"{runs}, {calls}, {tokens}, {_cost(figures.cost_usd)}"


def _role(used: RoleUsage) -> str:
    free = used.cached_calls + used.shared_cache_calls
    tokens = f"{used.prompt_tokens} + {used.completion_tokens} tokens"
    return f"{used.model}, {used.calls} calls and {free} for free, {tokens}, {_cost(used.cost_usd)}"


def _cost(cost_usd: float | None) -> str:
    return "price unknown" if cost_usd is None else f"{cost_usd:.4f} USD"


def _words(event: Event) -> str:
    data = event.data
    if event.type is EventType.LOG:
        return f"{data.get('level')} {data.get('logger')}: {data.get('message')}"
    if event.type is EventType.STATE:
        return " ".join(str(data[name]) for name in ("status", "termination_reason", "message") if data.get(name))
    if event.type is EventType.PROGRESS:
        return f"{data.get('event')} {_pairs(data.get('metrics'))}"
    return _pairs(data)


def _pairs(value: JsonValue) -> str:
    return " ".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else ""
