"""Several API processes on one serving stage, as behind a load balancer."""

from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager

import httpx

from dspy_service.up.binding import free_port
from dspy_service.up.commands import api_command
from tests.support.platforms import READY_SECONDS, Started, started
from tests.support.serving_stage import ServingStage
from tests.support.waiting import until


@asynccontextmanager
async def serving_apis(stage: ServingStage, count: int = 1) -> AsyncGenerator[list[Started], None]:
    """Run ``count`` of them around the block; each listens when it begins."""
    with ExitStack() as belongings:
        apis = [belongings.enter_context(_api(stage)) for _ in range(count)]
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
            for api in apis:
                await until(_Listening(api, http), seconds=READY_SECONDS)
        yield apis


def _api(stage: ServingStage) -> AbstractContextManager[Started]:
    port = free_port("127.0.0.1")
    environment = {**stage.environment, "DSPY_SERVICE_PORT": str(port)}
    return started(api_command("127.0.0.1", port, log_level="warning"), environment, port=port)


class _Listening:
    """Whether an API answers; fails when it has ended."""

    def __init__(self, api: Started, http: httpx.AsyncClient) -> None:
        self._api = api
        self._http = http

    async def __call__(self) -> bool:
        assert self._api.process.poll() is None, self._api.output
        try:
            return (await self._http.get(f"{self._api.base_url}/health/live")).is_success
        except httpx.TransportError:
            return False
