"""Stores on Redis that never hear the first answer, as after a connection that broke in between."""

from collections.abc import Iterable, Sequence
from typing import Any

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.adapters.redis.part import RedisPart

SENT_TWICE = frozenset(
    {
        "create",
        "claim",
        "renew",
        "advance",
        "keep_best",
        "finish",
        "release",
        "wish",
        "reopen",
        "settle",
        "unsettled",
        "forget_orphan",
        "note_orphans",
    }
)
"""Their second answer is the first one. The others say less when they are sent again (``reap`` finds nothing more,
``delete`` finds no job), or have tests of their own."""


class RepeatingClient(RedisClient):
    """Sends scripts twice."""

    async def run(self, verb: str, *, keys: Sequence[str], args: Iterable[str | int] = ()) -> Any:  # noqa: ANN401  # likewise
        """Run one script, twice where that must not matter."""
        args = list(args)
        if verb in SENT_TWICE:
            await super().run(verb, keys=keys, args=args)
        return await super().run(verb, keys=keys, args=args)


class RedisJobStoreWithLostReplies(RedisJobStore):
    """Behaves as the real one; whatever does not is a defect."""

    def __init__(self, url: str) -> None:
        RedisPart.__init__(self, RepeatingClient(url))


class SendsTwice(RedisClient):
    """Never hears the first answer of any script."""

    async def run(self, verb: str, *, keys: Sequence[str], args: Iterable[str | int] = ()) -> Any:  # noqa: ANN401  # as many shapes as scripts
        """Run one script twice."""
        args = list(args)
        await super().run(verb, keys=keys, args=args)
        return await super().run(verb, keys=keys, args=args)
