"""What goes wrong in the chaos run: processes die, stand still or are told to end; so do the store and the network."""

import asyncio
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from dspy_service.adapters.celery_doorbell import CeleryDoorbell
from dspy_service.domain.errors import StoreUnavailableError
from tests.support.faults.lifetimes import Lifetime
from tests.support.faults.proxy import Catch, Moment, TcpProxy
from tests.support.faults.stage import LEASE_SECONDS, Stage
from tests.support.faults.worker_process import WorkerProcess

_LOSABLE: Final = (
    *("claim", "renew", "advance", "append", "add_answers", "drop_answers", "keep_best"),
    *("finish", "release", "settle", "reap", "create", "wish", "reopen", "due"),
)
_LEAVE_SECONDS: Final = 20.0


class Troublemaker:
    """Does things to whoever is there, and undoes what does not pass by itself; several at a time where that can be.

    Args:
        stage: With workers, each behind a proxy of its own.
        ways: All proxies; also the API's.
        known_jobs: Ids to ring for.
        draw: Its whims.
    """

    def __init__(
        self, stage: Stage, ways: list[TcpProxy], known_jobs: Callable[[], list[str]], draw: random.Random
    ) -> None:
        self._stage = stage
        self._ways = ways
        self._known_jobs = known_jobs
        self._draw = draw
        self._bell = CeleryDoorbell(stage.store.url)
        self._store_is_ours = asyncio.Lock()
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []

    async def trouble(self) -> None:
        """Do one thing, drawn by weight."""
        name = self._draw.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        self.done[name] += 1
        deeds: Mapping[str, Callable[[], Awaitable[None]]] = {
            "kill a worker": self._kill_a_worker,
            "kill all of a worker": self._kill_a_family,
            "kill a slot": self._kill_a_slot,
            "kill a runner": self._kill_a_runner,
            "freeze a worker": self._freeze_a_worker,
            "freeze a worker's parent": self._freeze_a_parent,
            "deploy": self._deploy,
            "restart the store": self._restart_the_store,
            "freeze the store": self._freeze_the_store,
            "reset connections": self._reset_connections,
            "cut a worker off": self._cut_off,
            "slow connections": self._slow_connections,
            "lose a reply": self._lose_a_reply,
            "ring too often": self._ring_too_often,
        }
        await deeds[name]()

    async def aclose(self) -> None:
        """Give back what it rang with."""
        await self._bell.aclose()

    def _worker(self) -> WorkerProcess | None:
        """Return one that runs; None when none does."""
        running = [worker for worker in self._stage.workers if worker.is_running]
        return self._draw.choice(running) if running else None

    def _seconds(self, up_to: float) -> float:
        return self._draw.uniform(0.05, up_to)

    async def _kill_a_worker(self) -> None:
        if worker := self._worker():
            await asyncio.to_thread(worker.kill)

    async def _kill_a_family(self) -> None:
        if worker := self._worker():
            worker.send(signal.SIGKILL, worker.family())

    async def _kill_a_slot(self) -> None:
        self._kill_one_of(lambda worker: worker.slots())

    async def _kill_a_runner(self) -> None:
        self._kill_one_of(lambda worker: worker.runners())

    def _kill_one_of(self, processes: Callable[[WorkerProcess], set[Lifetime]]) -> None:
        if (worker := self._worker()) and (found := processes(worker)):
            worker.send(signal.SIGKILL, [self._draw.choice(sorted(found, key=lambda each: each.pid))])

    async def _freeze_a_worker(self) -> None:
        if worker := self._worker():
            await self._freeze(worker, worker.family())

    async def _freeze_a_parent(self) -> None:
        if (worker := self._worker()) and (parent := Lifetime.of(worker.pid)):
            await self._freeze(worker, {parent})

    async def _freeze(self, worker: WorkerProcess, processes: set[Lifetime]) -> None:
        worker.send(signal.SIGSTOP, processes)
        await asyncio.sleep(self._seconds(2.5 * LEASE_SECONDS))
        worker.send(signal.SIGCONT, processes)

    async def _deploy(self) -> None:
        """Tell a worker, or all its processes, to end; it does within a time."""
        if not (worker := self._worker()):
            return
        worker.send(signal.SIGTERM, worker.family() if self._draw.choice((True, False)) else None)
        try:
            await asyncio.to_thread(worker.process.wait, _LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.problems.append(f"worker {worker.pid} did not end within {_LEAVE_SECONDS:.0f} s of SIGTERM")

    async def _restart_the_store(self) -> None:
        async with self._store_is_ours:
            self._stage.store.kill()
            await asyncio.sleep(self._seconds(2 * LEASE_SECONDS))
            self._stage.store.restart()

    async def _freeze_the_store(self) -> None:
        async with self._store_is_ours:
            self._stage.store.freeze()
            await asyncio.sleep(self._seconds(2.5 * LEASE_SECONDS))
            self._stage.store.thaw()

    async def _reset_connections(self) -> None:
        self._draw.choice(self._ways).reset()

    async def _cut_off(self) -> None:
        way = self._draw.choice(self._ways)
        way.blackhole()
        await asyncio.sleep(self._seconds(2.5 * LEASE_SECONDS))
        way.heal()

    async def _slow_connections(self) -> None:
        way = self._draw.choice(self._ways)
        way.latency_seconds = self._draw.uniform(0.01, 0.1)
        await asyncio.sleep(self._seconds(2.5 * LEASE_SECONDS))
        way.latency_seconds = 0.0

    async def _lose_a_reply(self) -> None:
        catch = Catch(self._draw.choice(_LOSABLE), Moment.AFTER, hangs_up=True)
        for way in self._ways:
            way.catch(catch)

    async def _ring_too_often(self) -> None:
        known = self._known_jobs()
        for job_id in self._draw.choices(known, k=10) if known else ():
            try:
                await self._bell.ring(job_id)
            except StoreUnavailableError:
                return


_WEIGHTS: Final = {
    "kill a worker": 3,
    "kill all of a worker": 1,
    "kill a slot": 3,
    "kill a runner": 2,
    "freeze a worker": 3,
    "freeze a worker's parent": 1,
    "deploy": 3,
    "restart the store": 2,
    "freeze the store": 2,
    "reset connections": 4,
    "cut a worker off": 2,
    "slow connections": 2,
    "lose a reply": 6,
    "ring too often": 3,
}
