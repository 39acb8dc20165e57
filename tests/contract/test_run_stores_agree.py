"""The run store in memory and the one on Redis answer alike, whatever is asked of them in whatever order."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio as redis

from dspy_service.adapters.redis.runs import RedisRunStore
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.serving.run import CancelReason, MultitaskStrategy, Run, RunOutcome, RunStatus
from dspy_service.domain.serving.run_events import RunFact, StatusNoted
from dspy_service.ports.serving.runs import RunStore
from tests.contract.run_backends import MemoryRunBackend, RedisRunBackend, RunBackend
from tests.support.run_samples import COMPLETED, a_new_run, a_token, started, the_final
from tests.support.usage_samples import a_usage, ends, told

STEPS = 150
STRATEGIES: tuple[MultitaskStrategy, ...] = ("reject", "enqueue", "enqueue", "interrupt", "rollback")
REASONS: tuple[CancelReason, ...] = ("asked", "disconnected", "rolled_back")
FACTS: tuple[RunFact, ...] = (
    a_token("x"),
    StatusNoted(stage="lm", phase="start", name="demo", message="asking"),
    the_final("x"),
    told(a_usage()),
)
OUTCOMES = (COMPLETED, RunOutcome(status=RunStatus.CANCELLED), ends(RunStatus.INCOMPLETE, a_usage(calls=2)))

Step = Callable[[RunBackend], Awaitable[object]]


class Script:
    """Draws what happens next; the same for both stores."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311  # a test that can be repeated
        self.run_ids: list[str] = []

    def step(self) -> tuple[str, Step]:
        verbs = (self.create, self.create, self.take, self.take, self.take, self.append, self.append, self.finish)
        verb = self._dice.choice((*verbs, self.release, self.cancel, self.renew, self.reap, self.attend, self.wait))
        return verb.__name__, verb()

    def create(self) -> Step:
        new = a_new_run(
            tenant=self._dice.choice(("one", "other")),
            conversation_id=self._dice.choice((None, "c1", "c2")),
            on_disconnect=self._dice.choice(("cancel", "continue")),
            key=self._dice.choice((None, None, "k1", "k2")),
            body=self._dice.choice(("aa", "aa", "bb")),
        )
        self.run_ids.append(new.run_id)
        how, most = self._dice.choice(STRATEGIES), self._dice.choice((0, 0, 5))
        return lambda backend: backend.store.create(new, start=started(new), multitask=how, max_live_runs=most)

    def take(self) -> Step:
        async def take(backend: RunBackend) -> object:
            run_id = await backend.store.next_run()
            return run_id and await backend.store.claim(run_id, owner="w1", lease_seconds=15)

        return take

    def append(self) -> Step:
        facts, batch = self._dice.choices(FACTS, k=self._dice.randrange(4)), self._dice.randrange(1, 4)
        return self._held(lambda store, run_id, fence: store.append(run_id, fence=fence, facts=facts, batch=batch))

    def finish(self) -> Step:
        outcome, facts = self._dice.choice(OUTCOMES), self._dice.choices(FACTS, k=self._dice.randrange(2))
        return self._held(lambda store, run_id, fence: store.finish(run_id, fence=fence, outcome=outcome, facts=facts))

    def release(self) -> Step:
        return self._held(lambda store, run_id, fence: store.release(run_id, fence=fence))

    def renew(self) -> Step:
        return self._held(lambda store, run_id, fence: store.renew(run_id, fence=fence, lease_seconds=15))

    def cancel(self) -> Step:
        run_id, reason = self._any_run(), self._dice.choice(REASONS)
        return lambda backend: backend.store.cancel(run_id, reason=reason)

    def attend(self) -> Step:
        run_id = self._any_run()
        return lambda backend: backend.store.attend(run_id)

    def reap(self) -> Step:
        return lambda backend: backend.store.reap(lease_seconds=0)

    def wait(self) -> Step:
        seconds = self._dice.choice((1, 8, 16, 31))
        return lambda backend: backend.let_time_pass(seconds)

    def _held(self, write: Callable[[RunStore, str, int], Awaitable[object]]) -> Step:
        run_id, fence = self._any_run(), self._dice.choice((1, 1, 1, 2))
        return lambda backend: write(backend.store, run_id, fence)

    def _any_run(self) -> str:
        return self._dice.choice(self.run_ids[-8:] or ["nobody"])


async def answer(step: Step, backend: RunBackend) -> object:
    try:
        return plain(await step(backend))
    except ServiceError as error:
        return str(error)


def plain(value: object) -> object:
    """Return an answer without its times, which differ."""
    if isinstance(value, Run):
        when = {name: getattr(value, name) is not None for name in ("started_at", "first_token_at", "completed_at")}
        return value.model_dump(exclude={"created_at", *when}) | when
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


@pytest.fixture
async def on_redis(redis_url: str, raw_redis: redis.Redis) -> AsyncIterator[RedisRunBackend]:
    backend = RedisRunBackend(RedisRunStore(redis_url), raw_redis)
    yield backend
    await backend.store.aclose()


@pytest.mark.parametrize("seed", range(12))
async def test_both_answer_alike(seed: int, on_redis: RedisRunBackend) -> None:
    memory = MemoryRunBackend()
    script = Script(seed)

    for number in range(STEPS):
        name, step = script.step()
        answers = [await answer(step, backend) for backend in (memory, on_redis)]
        await memory.let_time_pass(0.001)
        assert answers[0] == answers[1], f"step {number}: {name}"
    for run_id in script.run_ids:
        logs = [await backend.store.events(run_id) for backend in (memory, on_redis)]
        assert [(event.seq, event.fact) for event in logs[0]] == [(event.seq, event.fact) for event in logs[1]]
        kinds = [event.fact.type for event in logs[0]]
        assert kinds.count("end") <= 1
        assert "end" not in kinds[:-1]
    totals = [await backend.store.usage_totals() for backend in (memory, on_redis)]
    assert totals[0] == totals[1]
    assert totals[0]
