"""The records of runs on Redis: one atomic script per verb, all times from Redis' own clock."""

import secrets
from collections.abc import Sequence

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.key_names import (
    RUN_LEASES,
    RUNS_SUBMITTED,
    RUNS_UNREAD,
    RUNS_UNTOLD,
    run_idempotency_key,
    run_key,
    talk_key,
)
from dspy_service.adapters.redis.part import RedisPart
from dspy_service.adapters.redis.records import to_micros
from dspy_service.adapters.redis.run_entries import (
    SCHEMA_VERSION,
    account_of,
    fact_json,
    figures_json,
    fixed_json,
    run_from_hash,
    run_from_pairs,
)
from dspy_service.adapters.run_record import (
    IDEMPOTENCY_SECONDS,
    WORKER_LOST,
    RunTimes,
    is_retold,
    require_end,
    require_writable,
    shows_output,
    usage_told,
)
from dspy_service.domain.caller_errors import QuotaExceededError
from dspy_service.domain.errors import IdempotencyKeyReusedError, LeaseLostError
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.errors import ConversationBusyError, RunNotFoundError, TurnOvertakenError
from dspy_service.domain.serving.run import CancelReason, MultitaskStrategy, NewRun, Run, RunOutcome
from dspy_service.domain.serving.run_events import RunFact
from dspy_service.domain.store_outage import repeat_while_away


class RedisRunRecords(RedisPart):
    """See the port ``RunRecords``."""

    def __init__(self, client: RedisClient, times: RunTimes) -> None:
        super().__init__(client, submitted=RUNS_SUBMITTED)
        self._times = times

    async def create(
        self,
        new: NewRun,
        *,
        start: RunFact,
        multitask: MultitaskStrategy = "enqueue",
        max_live_runs: int = 0,
        place: int = 0,
    ) -> tuple[Run, bool]:
        """Record a run with its first event, and queue it."""
        keys = [run_key(new.run_id)]
        if new.idempotency_key is not None:
            keys.append(run_idempotency_key(new.tenant, new.idempotency_key))
        talk = "" if new.conversation_id is None else talk_key(new.tenant, new.conversation_id)
        what = (new.run_id, SCHEMA_VERSION, new.tenant, fixed_json(new), fact_json(start), talk, multitask)
        bounds = (new.body_sha256, IDEMPOTENCY_SECONDS, max_live_runs)
        kept = (round(self._times.record_seconds), round(self._times.log_seconds))
        unread = to_micros(self._times.grace_seconds) if new.on_disconnect == "cancel" else ""
        counted = (round(self._times.usage_seconds), account_of(new), int(is_retold(new)))
        args = (*what, *bounds, *kept, unread, *counted, place)
        kind, *rest = await self._client.run("runs/create", keys=keys, args=args)
        if kind == "conflict":
            raise IdempotencyKeyReusedError(new.idempotency_key or "")
        if kind == "busy":
            raise ConversationBusyError(new.conversation_id or "", rest[0])
        if kind == "overtaken":
            raise TurnOvertakenError(new.conversation_id or "")
        if kind == "full":
            raise QuotaExceededError(max_live_runs, what="runs")
        if kind == "created":
            return run_from_pairs(rest[0]), True
        return await self.get(rest[0] if rest else new.run_id), kind == "repeated"

    async def get(self, run_id: str) -> Run:
        """Return the record, or raise RunNotFoundError."""
        fields = await self._client.command("HGETALL", run_key(run_id))
        if not fields:
            raise RunNotFoundError(run_id)
        return run_from_hash(fields)

    async def claim(self, run_id: str, *, owner: str, lease_seconds: float) -> Run | None:
        """Take a queued run, or return None."""
        epoch = secrets.token_hex(8)
        args = (run_id, owner, to_micros(lease_seconds), epoch)
        # An answer that was lost may have been a yes, and then nobody else may have the run.
        pairs = await repeat_while_away(
            lambda: self._client.run("runs/claim", keys=[run_key(run_id)], args=args), at_most_seconds=lease_seconds
        )
        if pairs is None:
            return None
        run = run_from_pairs(pairs)
        self._remember(run_id, run.fence, epoch)
        return run

    async def renew(self, run_id: str, *, fence: int, lease_seconds: float) -> bool:
        """Extend the lease; True when somebody asked for an end."""
        args = (run_id, self._proof(run_id, fence), to_micros(lease_seconds))
        wish = await self._client.run("runs/renew", keys=[run_key(run_id)], args=args)
        if wish is None:
            raise LeaseLostError(run_id, fence)
        return bool(wish)

    async def append(self, run_id: str, *, fence: int, facts: Sequence[RunFact], batch: int) -> int:
        """Number and append events."""
        require_writable(facts)
        who: tuple[str | int, ...] = (run_id, self._proof(run_id, fence), batch)
        usage = usage_told(facts)
        args = (*who, int(shows_output(facts)), _json(usage), figures_json(usage), *map(fact_json, facts))
        last_seq = await self._client.run("runs/append", keys=[run_key(run_id)], args=args)
        if last_seq is None:
            raise LeaseLostError(run_id, fence)
        return int(last_seq)

    async def finish(self, run_id: str, *, fence: int, outcome: RunOutcome, facts: Sequence[RunFact]) -> Run:
        """Append the last events with ``end`` behind them, and end the run."""
        require_end(outcome, facts)
        who: tuple[str | int, ...] = (run_id, self._proof(run_id, fence), outcome.status.value)
        cost = (_json(outcome.usage), figures_json(outcome.usage))
        how = (outcome.finish_reason or "", _json(outcome.error), int(shows_output(facts)))
        args = (*who, *cost, *how, *map(fact_json, facts))
        return await self._end("finish", run_id, fence, args)

    async def release(self, run_id: str, *, fence: int) -> Run:
        """Give the run back."""
        args = (run_id, self._proof(run_id, fence), WORKER_LOST.model_dump_json())
        return await self._end("release", run_id, fence, args)

    async def _end(self, verb: str, run_id: str, fence: int, args: Sequence[str | int]) -> Run:
        pairs = await self._client.run(f"runs/{verb}", keys=[run_key(run_id)], args=args)
        if pairs is None:
            raise LeaseLostError(run_id, fence)
        return run_from_pairs(pairs)

    async def cancel(self, run_id: str, *, reason: CancelReason) -> Run:
        """Ask for an end."""
        pairs = await self._client.run("runs/cancel", keys=[run_key(run_id)], args=(run_id, reason))
        if pairs is None:
            raise RunNotFoundError(run_id)
        return run_from_pairs(pairs)

    async def delete(self, run_id: str) -> bool:
        """Forget a run that has ended."""
        return bool(await self._client.run("runs/delete", keys=[run_key(run_id)], args=(run_id,)))

    async def reap(self, *, lease_seconds: float, limit: int = 100) -> list[Run]:
        """End runs whose lease is over, or whose readers have gone."""
        seconds, micros = await self._client.command("TIME")
        asked_at = seconds * 1_000_000 + micros
        args = (to_micros(lease_seconds), limit, asked_at, WORKER_LOST.model_dump_json())
        found = await self._client.run("runs/reap", keys=[RUN_LEASES, RUNS_UNREAD, RUNS_UNTOLD], args=args)
        return [run_from_pairs(pairs) for pairs in found]

    async def lose(self, owners: Sequence[str]) -> None:
        """End the runs of owners that are known to be dead."""
        await self._client.run("runs/lose", keys=[RUN_LEASES], args=(WORKER_LOST.model_dump_json(), *owners))

    async def attend(self, run_id: str) -> float:
        """Say that somebody reads it now, and return after how many seconds to say so again."""
        args = (run_id, to_micros(self._times.grace_seconds))
        await self._client.run("runs/attend", keys=[RUNS_UNREAD], args=args)
        return self._times.attend_seconds


def _json(value: Schema | None) -> str:
    return "" if value is None else value.model_dump_json()
