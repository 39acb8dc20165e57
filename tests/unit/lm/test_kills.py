"""A worker that dies in the middle of a job pays again for what was in flight at most, and for nothing else."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from dspy.lm15 import InvalidRequestError, Request, Response

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.budget import Budget
from dspy_service.domain.job import Claim
from dspy_service.domain.result import Usage
from tests.support.asking import DISTINCT, THREADS, Program
from tests.support.claims import JOB_ID, claimed
from tests.support.journals import KEY, Fault, FaultyArtifacts, FaultyTail, eventually
from tests.support.lm_calls import ScriptedRegistry, response, spec
from workers.lm.broker import Broker
from workers.lm.doors import BrokerDoors


@dataclass
class World:
    """One provider, two stores, and a program that always asks the same, whatever comes back."""

    jobs: MemoryJobStore
    claim: Claim
    seed: int
    artifacts: FaultyArtifacts = field(default_factory=FaultyArtifacts)
    journal_bytes: int = 1 << 30
    paid: list[str] = field(default_factory=list)
    """The text of every request that the provider got."""
    refused: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  # a test's dice
        self.tail = FaultyTail(self.jobs)
        self.registry = ScriptedRegistry(self._provide)

    async def _provide(self, request: Request) -> Response:
        self.paid.append(request.messages[0].text)
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
        if len(self.paid) % 10 == 0:
            self.refused += 1
            raise InvalidRequestError("the tenth one is always too long")
        return response(f"answer {len(self.paid)}")

    async def open(self) -> Broker:
        doors = BrokerDoors(self.registry, artifacts=self.artifacts, secret_key=KEY, journal_bytes=self.journal_bytes)
        return await doors.open(self.claim, tail=self.tail)

    async def kill(self, door: Broker) -> None:
        """Let nothing that the door still does reach a store, then go on with another worker."""
        self.tail.faults.is_dead = self.artifacts.faults.is_dead = True
        door._journal._close_seconds = 0.0
        await door.aclose()
        self.tail, files = FaultyTail(self.jobs), self.artifacts.files
        self.artifacts = FaultyArtifacts()
        self.artifacts.files = files
        await self.jobs.release(JOB_ID, fence=self.claim.fence)
        claim = await self.jobs.claim(JOB_ID, owner="next", lease_seconds=60, sandbox_level="L1")
        assert claim is not None
        self.claim = claim


async def _world(seed: int = 1) -> World:
    return World(*await claimed(), seed=seed)


async def _whole_run(world: World) -> tuple[dict[str, str], Usage]:
    door = await world.open()
    program = Program(door)
    await program.run()
    await door.aclose()
    assert not program.changed_its_mind
    return program.told, door.usage()


async def _killed_run(world: World, after_calls: int) -> tuple[dict[str, str], int]:
    """Run until the provider got so many requests in this attempt, then kill; return what was seen and in flight."""
    paid_before = len(world.paid)
    door = await world.open()
    program = Program(door)
    running = asyncio.create_task(program.run())
    await eventually(lambda: len(world.paid) - paid_before >= after_calls)
    in_flight = len(door._flights)
    running.cancel()
    await world.kill(door)
    return program.told, in_flight


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_killed_worker_costs_no_more_than_its_calls_in_flight(share: float, seed: int) -> None:
    world = await _world(seed)
    seen, in_flight = await _killed_run(world, int(share * DISTINCT))
    told, usage = await _whole_run(world)

    assert seen.items() <= told.items()
    assert len(world.paid) - DISTINCT <= in_flight <= THREADS
    roles = usage.roles["task"]
    assert roles.calls + roles.failed_calls == DISTINCT == len(set(world.paid))
    assert roles.replayed_calls >= len(seen)


async def test_a_worker_that_is_killed_again_and_again_gets_there() -> None:
    world = await _world(7)
    in_flight = 0

    for _ in range(6):
        _, flying = await _killed_run(world, 30)
        in_flight += flying
    told, _ = await _whole_run(world)

    assert len(told) == len(set(world.paid))
    assert len(world.paid) - len(set(world.paid)) <= in_flight


@pytest.mark.parametrize("journal_bytes", [0, 10_000, 1 << 30])
@pytest.mark.parametrize(
    ("budget", "most"),
    [(Budget(max_lm_calls=200), 200), (Budget(max_tokens=1000), 200), (Budget(max_usd=100), 200)],
    ids=["calls", "tokens", "money"],
)
async def test_a_budget_holds_over_all_kills_however_little_the_journal_keeps(
    journal_bytes: int, budget: Budget, most: int
) -> None:
    jobs, claim = await claimed(spec(budget=budget))
    world = World(jobs, claim, seed=5, journal_bytes=journal_bytes)
    in_flight = 0

    for _ in range(4):
        _, flying = await _killed_run(world, 30)
        in_flight += flying
    door = await world.open()
    await Program(door).run()
    await door.aclose()
    usage = door.usage()

    assert most <= usage.total_calls <= most + THREADS
    assert usage.total_calls <= len(world.paid) - world.refused <= usage.total_calls + in_flight
    assert usage.total_tokens == 5 * usage.total_calls
    assert usage.cost_usd == usage.total_calls / 2


async def test_a_runner_that_is_killed_alone_costs_nothing() -> None:
    world = await _world()
    door = await world.open()
    first = asyncio.create_task(Program(door).run())
    await eventually(lambda: len(world.paid) >= 100)
    first.cancel()

    second = Program(door)
    await second.run()
    await door.aclose()

    assert len(world.paid) == len(set(world.paid)) == len(second.told)


async def test_a_whole_replay_asks_nobody_and_is_marked() -> None:
    world = await _world()
    told, usage = await _whole_run(world)
    paid = len(world.paid)
    await world.kill(await world.open())

    again, replayed = await _whole_run(world)

    assert again == told
    assert len(world.paid) == paid
    assert replayed.roles["task"].replayed_calls == paid
    assert (replayed.total_calls, replayed.total_tokens, replayed.cost_usd) == (
        usage.total_calls,
        usage.total_tokens,
        usage.cost_usd,
    )
    assert replayed.roles["task"].cached_calls == usage.roles["task"].cached_calls


@pytest.mark.parametrize("seed", range(3))
async def test_stores_that_come_and_go_change_nothing(seed: int) -> None:
    world = await _world(seed)
    dice = random.Random(seed)  # noqa: S311  # a test's dice
    faults = [Fault.AWAY, Fault.REPLY_LOST]
    world.tail.faults.coming.extend(dice.choices([None, *faults], weights=[8, 1, 1], k=25))
    world.artifacts.faults.coming.extend(dice.choices(faults, k=2))

    told, _ = await _whole_run(world)
    paid = len(world.paid)
    await world.kill(await world.open())
    again, _ = await _whole_run(world)

    assert again == told
    assert len(world.paid) == paid == len(set(world.paid))
