"""A supervisor over scripted runners, for one attempt of one job."""

import asyncio
from typing import Any

from dspy.lm15 import Request, Response

from dspy_service.adapters.memory.jobs import MemoryJobStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.frames import Frame
from dspy_service.domain.result import Usage
from dspy_service.domain.spec import JobSpec
from dspy_service.domain.supervision import RunReport
from tests.support.claims import claimed
from tests.support.lm_calls import ScriptedEngine, broker, response, rows
from tests.support.scripted_child import Script, ScriptedChild, sleep_until_killed
from workers.supervisor import JobSupervisor, Standby, SupervisionLimits
from workers.supervisor.door import ModelDoor


class Doors:
    """Gives every job one door, and remembers it."""

    def __init__(self, door: ModelDoor | None = None) -> None:
        self.door = door

    def open(self, _spec: JobSpec) -> ModelDoor:
        if self.door is None:

            async def echo(_request: Request) -> Response:
                await asyncio.sleep(0)
                return response("answer")

            self.door = broker(ScriptedEngine(echo))
        return self.door


class SilentDoor:
    """Takes everything and answers nothing."""

    def __init__(self) -> None:
        self.pending_calls = 0
        self.pending_bytes = 0
        self.asked = 0

    def roles(self) -> dict[str, Any]:
        return {}

    def usage(self) -> Usage:
        return Usage()

    def ask(self, _frame: Frame, _reply: object) -> None:
        self.asked += 1
        self.pending_calls += 1

    def close_door(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


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
        limits=SupervisionLimits(**{"ready_seconds": 5.0, "cancel_grace_seconds": 0.3, **limits}),
    )
    return supervisor, standby


async def run_attempt(
    *scripts: Script,
    door: ModelDoor | None = None,
    cancel: asyncio.Event | None = None,
    job_spec: JobSpec | None = None,
    **limits: float,
) -> tuple[RunReport, MemoryJobStore]:
    jobs, claim = await claimed(job_spec)
    supervisor, standby = scripted_supervisor(*scripts, door=door, **limits)
    try:
        async with asyncio.timeout(20):
            report = await supervisor.run(claim, rows(3), jobs=jobs, cancel=cancel or asyncio.Event())
    finally:
        standby.close()
    return report, jobs


def log_frame(message: str) -> Frame:
    return {"t": "event", "type": "log", "data": {"level": "INFO", "logger": "dspy", "message": message}}
