"""Counts what a job's models cost, by role. The broker's own numbers; a runner's claims never enter."""

from dataclasses import dataclass

from dspy.lm15 import Response

from dspy_service.domain.result import RoleUsage, Usage


@dataclass
class RoleMeter:
    """Running totals of one role."""

    model: str
    calls: int = 0
    cached_calls: int = 0
    failed_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0

    def answered(self, response: Response, cost_usd: float | None) -> None:
        """Count a call that a provider answered; one unknown price makes the sum unknown."""
        self.calls += 1
        self.prompt_tokens += response.usage.input_tokens or 0
        self.completion_tokens += response.usage.output_tokens or 0
        self.cost_usd = None if cost_usd is None or self.cost_usd is None else self.cost_usd + cost_usd

    @property
    def was_asked(self) -> bool:
        """Whether anything was asked of this role, however it ended."""
        return bool(self.calls or self.cached_calls or self.failed_calls)

    def usage(self) -> RoleUsage:
        """Return the totals; without a paid call there is no cost to tell."""
        return RoleUsage(
            model=self.model,
            calls=self.calls,
            cached_calls=self.cached_calls,
            failed_calls=self.failed_calls,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_usd=self.cost_usd if self.calls else None,
        )


def total(meters: dict[str, RoleMeter]) -> Usage:
    """Return the usage of the roles that were asked; the cost is known only when that of every called role is."""
    roles = {role: meter.usage() for role, meter in meters.items() if meter.was_asked}
    called = [usage for usage in roles.values() if usage.calls]
    costs = [usage.cost_usd for usage in called if usage.cost_usd is not None]
    return Usage(
        roles=roles,
        total_calls=sum(usage.calls for usage in called),
        total_tokens=sum(usage.prompt_tokens + usage.completion_tokens for usage in called),
        cost_usd=sum(costs) if called and len(costs) == len(called) else None,
    )
