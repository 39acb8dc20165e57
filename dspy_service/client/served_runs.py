"""What a client does with runs, blocking and asynchronous."""

from collections.abc import AsyncGenerator, Iterator
from datetime import date
from typing import Final, TypedDict, Unpack

from dspy_service.client import plans, run_calls
from dspy_service.client.calls import Call
from dspy_service.client.performing import Follows, FollowsAsynchronously, Runs, RunsAsynchronously
from dspy_service.client.run_following import RunFollowing
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.domain.serving.run_views import RunEventPage, RunView
from dspy_service.domain.serving.usage_view import ServingUsageView, UsageGroup

_IN_THE_QUERY: Final = {"first": "from", "last": "to"}


class UsageOptions(TypedDict, total=False):
    """Which runs to sum up: all conditions must hold. Days are by UTC, both included: the last thirty by default."""

    program: str
    version: int
    key_id: str
    first: date
    last: date
    group_by: UsageGroup
    limit: int


class ServedRuns:
    """``client.runs``: look at a run, follow it, end it."""

    def __init__(self, run: Runs, follow: Follows) -> None:
        self._run = run
        self._follow = follow

    def get(self, run_id: str) -> RunView:
        """Return a run; with its prediction for some minutes after its end."""
        return self._run(plans.ask(run_calls.run(run_id)))

    def events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> RunEventPage:
        """Return a page of events with ``seq > after``, oldest first."""
        return self._run(plans.ask(run_calls.run_events(run_id, after=after, limit=limit)))

    def watch(self, run_id: str, *, after: int = 0) -> Iterator[RunEvent]:
        """Yield every event with ``seq > after`` as it happens, until the run has ended.

        A broken connection is opened again where it broke; nothing is lost or doubled.
        """
        return self._follow(RunFollowing(run_id, after=after))

    def cancel(self, run_id: str) -> RunView:
        """End a run; what it wrote stays."""
        return self._run(plans.ask(run_calls.cancel_run(run_id)))

    def usage(self, **options: Unpack[UsageOptions]) -> ServingUsageView:
        """Return what your tenant's ended runs have cost, in all and by group; see ``UsageOptions``."""
        return self._run(plans.ask(_usage(options)))


class AsyncServedRuns:
    """As ``ServedRuns``, on the event loop."""

    def __init__(self, run: RunsAsynchronously, follow: FollowsAsynchronously) -> None:
        self._run = run
        self._follow = follow

    async def get(self, run_id: str) -> RunView:
        """As ``ServedRuns.get``."""
        return await self._run(plans.ask(run_calls.run(run_id)))

    async def events(self, run_id: str, *, after: int = 0, limit: int = 1000) -> RunEventPage:
        """As ``ServedRuns.events``."""
        return await self._run(plans.ask(run_calls.run_events(run_id, after=after, limit=limit)))

    def watch(self, run_id: str, *, after: int = 0) -> AsyncGenerator[RunEvent, None]:
        """As ``ServedRuns.watch``; close the generator when you stop early."""
        return self._follow(RunFollowing(run_id, after=after))

    async def cancel(self, run_id: str) -> RunView:
        """As ``ServedRuns.cancel``."""
        return await self._run(plans.ask(run_calls.cancel_run(run_id)))

    async def usage(self, **options: Unpack[UsageOptions]) -> ServingUsageView:
        """As ``ServedRuns.usage``."""
        return await self._run(plans.ask(_usage(options)))


def _usage(options: UsageOptions) -> Call[ServingUsageView]:
    words = {name: value if isinstance(value, int) else str(value) for name, value in options.items()}
    return run_calls.usage({_IN_THE_QUERY.get(name, name): word for name, word in words.items()})
