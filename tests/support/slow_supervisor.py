"""A process that supervises one endless job with a real runner, so that a test can kill it.

``python -m tests.support.slow_supervisor BASE_URL LEVEL`` prints the runner's process id; the job has begun once the
model is asked.
"""

import asyncio
import os
import sys
from typing import cast

from dspy_service.adapters.memory import MemoryArtifactStore
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.spec import ModelSettings
from dspy_service.domain.supervision import Reins
from dspy_service.domain.workers import SandboxLevel
from tests.support.claims import claimed
from tests.support.lm_calls import rows, spec
from tests.support.signed import SECRET_KEY
from tests.support.supervised import Kept
from workers.lm.doors import BrokerDoors
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.sandbox.launch import Child, launch
from workers.supervisor import JobSupervisor, Standby


async def main(base_url: str, level: SandboxLevel) -> None:
    def start() -> Child:
        child = launch(level, environ=os.environ)
        print(child.pid, flush=True)  # noqa: T201  # how the test learns it
        return child

    registry = ModelRegistry(read_provider_environment(os.environ))
    doors = BrokerDoors(registry, artifacts=MemoryArtifactStore(), secret_key=SECRET_KEY)
    supervisor = JobSupervisor(
        standby=Standby(start),
        level=level,
        doors=doors,
        catalogue=Registry(),
        artifacts=MemoryArtifactStore(),
        secret_key=SECRET_KEY,
    )
    jobs, claim = await claimed(spec(ModelSettings(name="openai/test", base_url=base_url)))
    await supervisor.run(claim, rows(20), jobs=jobs, reins=Reins(), keep_best=Kept())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], cast("SandboxLevel", sys.argv[2])))
