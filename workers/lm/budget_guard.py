"""Keeps a job within its budget: asked before every call, so that what is spent beyond is at most what was in flight.

Of calls nothing is spent beyond: those in flight are counted as if they were answered. What tokens and money a call
will take is not known before its answer. What the final evaluation will need is kept until that begins; not so for an
optimizer that has no program before its own end: all may be spent on getting there.
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
from workers.lm.reserve import Reserve

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
        keeps_reserve: Whether something is kept for the final evaluation.
    """

    def __init__(self, budget: Budget | None, meter: Meter, *, keeps_reserve: bool = True) -> None:
        self._keeps_reserve = keeps_reserve
        self._meter = meter
        self._scopes = _scopes(budget, meter.roles)
        self._in_flight: Counter[str] = Counter()
        self._reserves: dict[str, Reserve] = {}
        self._reserved_keys: set[str] = set()
        self.phase: Phase | None = None
        """What the calls that come now are for."""
        self.spent: str | None = None
        """Which bound refused a call first, as a sentence; None while none did."""

    def begin(self, phase: Phase) -> None:
        """Note what the calls that follow are for."""
        self.phase = phase

    def note_use(self, entry: JournalEntry) -> None:
        """Count what a baseline's answer costs, once, whoever paid for it: the final evaluation may have to."""
        if entry.origin == "refusal":
            return
        if self.phase == "compile" and entry.role in self._reserves:
            self._reserves[entry.role].compile_used(entry)
        elif self.phase == "baseline" and entry.key not in self._reserved_keys:
            self._reserved_keys.add(entry.key)
            self._reserves.setdefault(entry.role, Reserve()).baseline_used(entry)

    @contextmanager
    def flight(self, role: str, phase: Phase | None) -> Iterator[None]:
        """Stand around one call to a provider, until its answer is in the meter.

        Args:
            role: Whose call it is.
            phase: In which it was asked for: a call that a compile left behind must not spend what is kept for the
                final evaluation, although that has begun meanwhile.

        Raises:
            ModelCallError: ``budget_exhausted``; the call must not be made.
        """
        for scope in self._scopes:
            if role in scope.roles and (refusal := self._refusal(scope, phase)) is not None:
                self.spent = self.spent or refusal
                raise ModelCallError(ModelErrorKind.BUDGET, refusal)
        self._in_flight[role] += 1
        try:
            yield
        finally:
            self._in_flight[role] -= 1

    def _refusal(self, scope: _Scope, phase: Phase | None) -> str | None:
        spent = Spending.sum(self._meter.roles[role].paid for role in scope.roles)
        if scope.bounds.max_usd is not None and spent.unpriced_models:
            names = ", ".join(sorted(spent.unpriced_models))
            return f"A call to {names} had no price, so that {scope.name}max_usd cannot be kept."
        spent.calls += sum(self._in_flight[role] for role in scope.roles)
        kept = Spending.sum(self._reserves[role].kept for role in scope.roles if role in self._reserves)
        for bound, measure in _MEASURES.items():
            limit = getattr(scope.bounds, bound)
            reserve = measure(kept) if self._keeps_reserve and phase != "final" else 0
            if limit is not None and measure(spent) >= limit - reserve:
                left = round(min(reserve, max(0, limit - measure(spent))), 6)
                rest = f"; {left} of it is kept for the final evaluation" if left else ""
                return f"The budget's {scope.name}{bound} of {limit} is spent{rest}."
        return None


def _scopes(budget: Budget | None, roles: Collection[str]) -> list[_Scope]:
    if budget is None:
        return []
    scopes = [_Scope("", budget, list(roles))]
    scopes += [_Scope(f"roles.{role}.", budget.of_role(role), [role]) for role in roles]
    return [scope for scope in scopes if not scope.bounds.is_empty]
