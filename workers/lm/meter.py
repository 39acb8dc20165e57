"""Counts what a job's models cost, by role. The broker's own numbers; a runner's claims never enter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.journal_totals import JournalTotals
from dspy_service.domain.result import RoleUsage, Usage
from workers.lm.job_models import JobModel


@dataclass
class Spending:
    """What calls cost that a provider answered."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    """Of the calls whose price is known."""
    unpriced_calls: int = 0
    """The others."""
    unpriced_models: set[str] = field(default_factory=set)
    estimated_calls: int = 0
    """Whose provider told no tokens."""

    @property
    def tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, entry: JournalEntry) -> None:
        """Count one call."""
        self.calls += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        self.estimated_calls += entry.is_estimated
        if entry.cost_usd is None:
            self.unpriced_calls += 1
            self.unpriced_models.add(entry.model)
        else:
            self.usd += entry.cost_usd

    def add_totals(self, totals: JournalTotals) -> None:
        """Count calls of an earlier attempt whose answers it did not keep."""
        self.calls += totals.calls
        self.prompt_tokens += totals.prompt_tokens
        self.completion_tokens += totals.completion_tokens
        self.usd += totals.cost_usd
        self.estimated_calls += totals.estimated_calls
        if totals.unpriced_calls:
            self.unpriced_calls += totals.unpriced_calls
            self.unpriced_models.add(totals.model)

    @classmethod
    def sum(cls, parts: Iterable["Spending"]) -> "Spending":
        """Return all of them together."""
        whole = cls()
        for part in parts:
            whole.calls += part.calls
            whole.prompt_tokens += part.prompt_tokens
            whole.completion_tokens += part.completion_tokens
            whole.usd += part.usd
            whole.unpriced_calls += part.unpriced_calls
            whole.unpriced_models |= part.unpriced_models
            whole.estimated_calls += part.estimated_calls
        return whole


@dataclass
class RoleMeter:
    """Running totals of one role."""

    model: str
    paid: Spending = field(default_factory=Spending)
    replayed_calls: int = 0
    cached_calls: int = 0
    shared_cache_calls: int = 0
    failed_calls: int = 0
    refused_calls: int = 0
    """Not made, because of the budget."""

    def enter(self, entry: JournalEntry) -> None:
        """Count an entry of the journal, whichever attempt got it."""
        if entry.origin == "provider":
            self.paid.add(entry)
        elif entry.origin == "cache":
            self.shared_cache_calls += 1
        else:
            self.failed_calls += 1

    @property
    def was_asked(self) -> bool:
        """Whether anything was asked of this role, however it ended."""
        return bool(self.paid.calls or self.cached_calls or self.shared_cache_calls or self.failed_calls)

    def usage(self) -> RoleUsage:
        """Return the totals; without a paid call there is no cost to tell."""
        is_priced = self.paid.calls > 0 and not self.paid.unpriced_models
        return RoleUsage(
            model=self.model,
            calls=self.paid.calls,
            replayed_calls=self.replayed_calls,
            cached_calls=self.cached_calls,
            shared_cache_calls=self.shared_cache_calls,
            failed_calls=self.failed_calls,
            estimated_calls=self.paid.estimated_calls,
            prompt_tokens=self.paid.prompt_tokens,
            completion_tokens=self.paid.completion_tokens,
            cost_usd=self.paid.usd if is_priced else None,
        )


class Meter:
    """The totals of one job.

    Args:
        models: Name of each role's model, as the job gave it.
        prices_as_of: Which price list is used.
    """

    def __init__(self, models: Mapping[str, str], *, prices_as_of: str | None = None) -> None:
        self.roles = {role: RoleMeter(model) for role, model in models.items()}
        self._prices_as_of = prices_as_of

    @classmethod
    def of(cls, models: Mapping[str, JobModel]) -> "Meter":
        """Return the meter of a job with these models."""
        dates = {model.engine.target.prices_as_of for model in models.values()} - {None}
        names = {role: str(model.shown["model"]) for role, model in models.items()}
        return cls(names, prices_as_of=", ".join(sorted(date for date in dates if date is not None)) or None)

    def enter(self, entry: JournalEntry) -> None:
        """Count an entry of the journal for the role that caused it."""
        self.roles.setdefault(entry.role, RoleMeter(entry.model)).enter(entry)

    def enter_totals(self, totals: JournalTotals) -> None:
        """Count what an earlier attempt paid for and did not keep."""
        self.roles.setdefault(totals.role, RoleMeter(totals.model)).paid.add_totals(totals)

    def usage(self) -> Usage:
        """Return the usage of the roles that were asked; the cost is known only when that of every called role is."""
        asked = {role: meter for role, meter in self.roles.items() if meter.was_asked}
        paid = Spending.sum(meter.paid for meter in asked.values())
        return Usage(
            roles={role: meter.usage() for role, meter in asked.items()},
            total_calls=paid.calls,
            total_tokens=paid.tokens,
            estimated_calls=paid.estimated_calls,
            cost_usd=paid.usd if paid.calls and not paid.unpriced_models else None,
            unpriced_models=sorted(paid.unpriced_models),
            cache_hit_rate=_hit_rate(asked.values()),
            prices_as_of=self._prices_as_of,
        )


def _hit_rate(meters: Iterable[RoleMeter]) -> float | None:
    hits = asked = 0
    for meter in meters:
        free = meter.cached_calls + meter.shared_cache_calls
        hits += free
        asked += free + meter.paid.calls + meter.failed_calls
    return hits / asked if asked else None
