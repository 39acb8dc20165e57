"""A provider that hangs keeps its own tenant waiting, for as long as the operator lets it, and nobody else."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dspy_service.domain.serving.run import RunStatus
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply
from tests.support.serving_stage import ServingStage, serving_stage
from tests.support.valkey import redis_url, valkey_server
from tests.support.waiting import until

__all__ = ["redis_url", "valkey_server"]

SILENT = Reply("late", delay_seconds=600)


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(lambda body: SILENT if "hang" in str(body["messages"]) else Reply("quick")) as server:
        yield server


async def in_progress(stage: ServingStage, run_ids: list[str]) -> int:
    runs = [await stage.runs.get(run_id) for run_id in run_ids]
    return sum(run.status is RunStatus.IN_PROGRESS for run in runs)


async def test_a_tenant_whose_provider_hangs_leaves_a_place_to_others(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    async with serving_stage(redis_url, tmp_path, SERVING_CONCURRENCY="4") as stage:
        for tenant in ("local", "other"):
            lm = ModelSettings(name="openai/test", base_url=provider.base_url)
            await stage.deploy(lm, tenant=tenant, adapter="text")
        hanging = [await stage.ask(inputs={"question": "hang"}) for _ in range(6)]
        await stage.worker()

        async def share_is_taken() -> bool:
            return await in_progress(stage, hanging) == 3

        await until(share_is_taken, seconds=20)
        others = [await stage.ended(await stage.ask(tenant="other")) for _ in range(3)]

        assert [run.status for run in others] == [RunStatus.COMPLETED] * 3
        assert await in_progress(stage, hanging) == 3


async def test_the_operator_says_how_long_a_model_may_be_silent(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    patience = {"SERVING_FIRST_TOKEN_SECONDS": "0.2"}
    async with serving_stage(redis_url, tmp_path, **patience) as stage:
        await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
        await stage.worker()

        run = await stage.ended(await stage.ask(inputs={"question": "hang"}), seconds=30)

        assert run.error is not None
        assert (run.error.code, run.error.retryable) == ("lm_timeout", True)
        assert run.error.message.endswith("The model said nothing for 0.2 s.")
