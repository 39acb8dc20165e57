"""Several API processes on one serving stage, as behind a load balancer."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager

import httpx

from dspy_service.up.binding import free_port
from dspy_service.up.commands import api_command
from tests.support.platforms import READY_SECONDS, Started, started
from tests.support.serving_stage import ServingStage
from tests.support.waiting import until


class StageApi:
    """One of them: it may be killed, and comes back at its address.

    Args:
        stage: What it stands on.
        belongings: End it.
    """

    def __init__(self, stage: ServingStage, belongings: ExitStack) -> None:
        self._stage = stage
        self._belongings = belongings
        self._port = free_port("127.0.0.1")
        self._started = self._start()

    @property
    def base_url(self) -> str:
        return self._started.base_url

    @property
    def pid(self) -> int:
        return self._started.process.pid

    async def wait_until_it_listens(self) -> None:
        """Fail when it has ended instead."""
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:

            async def listens() -> bool:
                assert self._started.process.poll() is None, self._started.output
                try:
                    return (await http.get(f"{self.base_url}/health/live")).is_success
                except httpx.TransportError:
                    return False

            await until(listens, seconds=READY_SECONDS)

    async def kill_and_restart(self) -> None:
        """Kill it, whoever reads there, and wait until its successor listens."""
        self._started.process.kill()
        await asyncio.to_thread(self._started.process.wait)
        self._started = self._start()
        await self.wait_until_it_listens()

    def _start(self) -> Started:
        environment = {**self._stage.environment, "DSPY_SERVICE_PORT": str(self._port)}
        command = api_command("127.0.0.1", self._port, log_level="warning")
        return self._belongings.enter_context(started(command, environment, port=self._port))


@asynccontextmanager
async def serving_apis(stage: ServingStage, count: int = 1) -> AsyncGenerator[list[StageApi], None]:
    """Run ``count`` of them around the block; each listens when it begins."""
    with ExitStack() as belongings:
        apis = [StageApi(stage, belongings) for _ in range(count)]
        for api in apis:
            await api.wait_until_it_listens()
        yield apis
