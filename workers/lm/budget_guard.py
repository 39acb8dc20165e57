"""Keeps a job within its budget: asked before every call, so that what is spent beyond is at most what was in flight.

Of calls nothing is spent beyond: those in flight are counted as if they were answered. What tokens and money a call
will take is not known before its answer. Until the final evaluation begins, what the baseline's answers cost is kept
for it: it asks the same rows again.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from dspy_service.domain.budget import Budget, ModelBudget
from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.domain.model_errors import ModelErrorKind
from dspy_service.domain.supervision import Phase
from workers.lm.meter import Meter, Spending

_MEASURES: Final[Mapping[str, Callable[[Spending], float]]] = {
    "max_lm_calls": lambda spent: spent.calls,
    "max_tokens": lambda spent: spent.tokens,
    "max_usd": lambda spent: spent.usd,
}


@dataclass(frozen=True)
class _Scope:
    """Bounds, and whose calls they bound."""

    name: str
    bounds: ModelBudget
    roles: Collection[str]


class BudgetGuard:
    """Guards one attempt; what earlier attempts spent stands in the meter.

    Args:
        budget: Of the job; None: no bound.
        meter: Of the job.
    """

    def __init__(self, budget: Budget | None, meter: Meter) -> None:
        self._meter = meter
        self._scopes = _scopes(budget, meter.roles)
        self._in_flight: Counter[str] = Counter()
        self._reserves: dict[str, Spending] = {}
        self._reserved_keys: set[str] = set()
        self._phase: Phase | None = None
        self.spent: str | None = None
        """Which bound refused a call first, as a sentence; None while none did."""

    def begin(self, phase: Phase) -> None:
        """Note what the calls that follow are for."""
        self._phase = phase

    def note_use(self, entry: JournalEntry) -> None:
        """Count what a baseline's answer costs, once, whoever paid for it: the final evaluation may have to."""
        if self._phase != "baseline" or entry.origin == "refusal" or entry.key in self._reserved_keys:
            return
        self._reserved_keys.add(entry.key)
        self._reserves.setdefault(entry.role, Spending()).add(entry)

    @contextmanager
    def flight(self, role: str) -> Iterator[None]:
        """Stand around one call to a provider, until its answer is in the meter.

        Raises:
            ModelCallError: ``budget_exhausted``; the call must not be made.
        """
        for scope in self._scopes:
            if role in scope.roles and (refusal := self._refusal(scope)) is not None:
                self.spent = self.spent or refusal
                raise ModelCallError(ModelErrorKind.BUDGET, refusal)
        self._in_flight[role] += 1
        try:
            yield
        finally:
            self._in_flight[role] -= 1

    def _refusal(self, scope: _Scope) -> str | None:
        spent = Spending.sum(self._meter.roles[role].paid for role in scope.roles)
        if scope.bounds.max_usd is not None and spent.unpriced_models:
            names = ", ".join(sorted(spent.unpriced_models))
            return f"A call to {names} had no price, so that {scope.name}max_usd cannot be kept."
        spent.calls += sum(self._in_flight[role] for role in scope.roles)
        kept = Spending.sum(self._reserves.get(role, Spending()) for role in scope.roles)
        for bound, measure in _MEASURES.items():
            limit = getattr(scope.bounds, bound)
            reserve = 0 if self._phase == "final" else measure(kept)
            if limit is not None and measure(spent) >= limit - reserve:
                rest = f"; {round(reserve, 6)} of it is kept for the final evaluation" if reserve else ""
                return f"The budget's {scope.name}{bound} of {limit} is spent{rest}."
        return None


def _scopes(budget: Budget | None, roles: Collection[str]) -> list[_Scope]:
    if budget is None:
        return []
    scopes = [_Scope("", budget, list(roles))]
    scopes += [_Scope(f"roles.{role}.", budget.of_role(role), [role]) for role in roles]
    return [scope for scope in scopes if not scope.bounds.is_empty]
