"""A supervisor over scripted runners, for one attempt of one job."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame, encode
from dspy_service.domain.job import Claim
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.supervision import Checkpoint, Halt, Interrupted, KeepBest, Phase, Reins, RunReport
from dspy_service.domain.throttle import ProviderWait
from tests.support.claims import claimed
from tests.support.lm_calls import rows
from tests.support.scripted_child import Peer, Script, ScriptedChild, sleep_until_killed
from tests.support.signed import SECRET_KEY
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.door import ModelDoor


class ScriptedDoor:
    """Answers every question at once, or none; remembers what it was told.

    Args:
        answer: To every question; None: silence.
        is_busy: Whether calls are in flight that end only once ``drained`` is set.
    """

    def __init__(self, answer: str | None = "answer", *, is_busy: bool = False) -> None:
        self.pending_calls = 0
        self.pending_bytes = 0
        self.asked = 0
        self.spent: str | None = None
        self.waits: list[ProviderWait] = []
        self.phases: list[Phase] = []
        self.keeps_reserve: bool | None = None
        """As it was opened; None: it was not."""
        self.told: list[str] = []
        """Commands in order: hold, go_on, drain <seconds>, close."""
        self.is_held = False
        self.drained = asyncio.Event()
        if not is_busy:
            self.drained.set()
        self.told_something = asyncio.Event()
        self._answer = answer

    def roles(self) -> Mapping[str, Mapping[str, Any]]:
        return {"task": {"model": "model"}}

    def usage(self) -> Usage:
        if not self.asked:
            return Usage()
        task = RoleUsage(model="model", calls=self.asked)
        return Usage(
            roles={"task": task}, total_calls=self.asked, total_tokens=5 * self.asked, cost_usd=0.5 * self.asked
        )

    def ask(self, frame: Frame, reply: Any) -> None:  # noqa: ANN401  # as the port's
        if type(frame.get("id")) is not int:
            raise ProtocolError("An lm frame has no number.")
        self.asked += 1
        if self._answer is None or self.is_held:
            self.pending_calls += 1
        else:
            reply(encode({"t": "answer", "id": frame["id"], "response": {"text": self._answer}}))

    def provider_waits(self) -> list[ProviderWait]:
        return self.waits

    def begin(self, phase: Phase) -> None:
        self.phases.append(phase)

    def hold(self) -> None:
        self.is_held = True
        self._note("hold")

    def go_on(self) -> None:
        self.is_held = False
        self._note("go_on")

    async def drain(self, timeout_seconds: float) -> None:
        self._note(f"drain {timeout_seconds:g}")
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.drained.wait()
        except TimeoutError:
            pass  # the time is up; what is still in flight is given up

    def close_door(self) -> None:
        self._note("close")

    async def aclose(self) -> None:
        pass

    def _note(self, command: str) -> None:
        self.told.append(command)
        self.told_something.set()

    async def was_told(self, command: str) -> None:
        """Wait until it has heard the command."""
        async with asyncio.timeout(10):
            while command not in self.told:
                self.told_something.clear()
                await self.told_something.wait()


class Doors:
    """Gives every job one door."""

    def __init__(self, door: ModelDoor | None = None) -> None:
        self.door = door

    async def open(self, _claim: Claim, *, keeps_reserve: bool, **_tail: object) -> ModelDoor:
        door = self.door or ScriptedDoor()
        if isinstance(door, ScriptedDoor):
            door.keeps_reserve = keeps_reserve
        return door


class Kept:
    """Stores checkpoints in memory."""

    def __init__(self) -> None:
        self.checkpoints: list[Checkpoint] = []
        self._stored = asyncio.Event()

    async def __call__(self, checkpoint: Checkpoint) -> None:
        self.checkpoints.append(checkpoint)
        self._stored.set()

    @property
    def numbers(self) -> list[int]:
        return [checkpoint.number for checkpoint in self.checkpoints]

    async def has(self, number: int) -> None:
        """Wait until the checkpoint is stored."""
        async with asyncio.timeout(10):
            while number not in self.numbers:
                self._stored.clear()
                await self._stored.wait()


def scripted_supervisor(
    *scripts: Script, door: ModelDoor | None = None, **limits: float
) -> tuple[JobSupervisor, Standby]:
    remaining = list(scripts)
    standby = Standby(lambda: ScriptedChild(remaining.pop(0) if remaining else sleep_until_killed))
    supervisor = JobSupervisor(
        standby=standby,
        level="L1",
        doors=Doors(door),
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
        limits=SupervisionLimits(**{"ready_seconds": 5.0, "cancel_grace_seconds": 0.3, **limits}),
    )
    return supervisor, standby


async def run_attempt(
    *scripts: Script,
    door: ModelDoor | None = None,
    reins: Reins | None = None,
    keep_best: KeepBest | None = None,
    job_spec: JobSpec | None = None,
    job: Mapping[str, Any] | None = None,
    **limits: float,
) -> tuple[RunReport | Interrupted, MemoryJobStore]:
    """Run one attempt.

    Args:
        scripts: Of the runners that are started, in order.
        door: Of the models; None: it answers every question.
        reins: None: nobody steers.
        keep_best: None: checkpoints are stored in memory.
        job_spec: Of the job.
        job: Fields of the record that are otherwise than after a first claim.
        limits: Otherwise than usual.
    """
    jobs, claim = await claimed(job_spec)
    if job is not None:
        claim = claim.model_copy(update={"job": claim.job.model_copy(update=job)})
    supervisor, standby = scripted_supervisor(*scripts, door=door, **limits)
    try:
        async with asyncio.timeout(20):
            report = await supervisor.run(
                claim, rows(3), jobs=jobs, reins=reins or Reins(), keep_best=keep_best or Kept()
            )
    finally:
        standby.close()
    return report, jobs


def halted(why: Halt) -> Reins:
    """Return the reins of an attempt that should stop."""
    reins = Reins()
    reins.halt(why)
    return reins


def halting(reins: Reins, why: Halt) -> Callable[[], None]:
    """Return what a script calls to halt its own attempt. Call this on the supervisor's loop."""
    loop = asyncio.get_running_loop()

    def halt() -> None:
        loop.call_soon_threadsafe(reins.halt, why)

    return halt


def ask(peer: Peer) -> None:
    """Be sure, on a runner's side, that all that was sent before is taken: an answer comes after it."""
    peer.send({"t": "lm", "id": 1})
    assert peer.receive()["t"] == "answer"


def log_frame(message: str) -> Frame:
    return {"t": "event", "type": "log", "data": {"level": "INFO", "logger": "dspy", "message": message}}
