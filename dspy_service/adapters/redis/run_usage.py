"""What served programs have cost, as the scripts that end runs count it on Redis."""

from datetime import date, timedelta

from dspy_service.adapters.redis.key_names import RUN_TOTALS, usage_key
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.run_entries import figures_from, usage_entries
from dspy_service.domain.serving.usage import UsageEntry, UsageFigures

_DAYS_AT_ONCE = 31  # in one script, which nobody else waits for long


class RedisRunUsage(RedisPart):
    """See the port ``RunUsage``."""

    async def usage(self, tenant: str, *, first: date, last: date) -> list[UsageEntry]:
        """Return what was counted from the first day to the last one, both included."""
        found: list[UsageEntry] = []
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        for start in range(0, len(days), _DAYS_AT_ONCE):
            some = days[start : start + _DAYS_AT_ONCE]
            keys = [usage_key(tenant, day) for day in some]
            counted = await self._client.run("runs/read_usage", keys=keys)
            found += [entry for day, pairs in zip(some, counted, strict=True) for entry in usage_entries(day, pairs)]
        return found

    async def usage_totals(self) -> UsageFigures:
        """Return the counters of all tenants since the store began."""
        return figures_from(await self._client.command("HGETALL", RUN_TOTALS))
