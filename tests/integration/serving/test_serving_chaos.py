"""Readers come and go, and a serving process dies: nobody misses a character, or reads one twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer
from tests.support.serving_apis import serving_apis
from tests.support.serving_chaos import Trouble, serving_chaos
from tests.support.serving_crowd import answering
from tests.support.serving_stage import serving_stage
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]

TROUBLE: Final = Trouble(readers=24, at_once=24, leaves=8, kills=1, pieces=60)


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(answering(TROUBLE.pieces, piece_seconds=0.02)) as server:
        yield server


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_whoever_leaves_and_whatever_dies(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    async with serving_stage(redis_url, tmp_path) as stage:
        await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
        await stage.worker(processes=2)

        async with serving_apis(stage, 2) as apis:
            verdict = await serving_chaos(stage, [api.base_url for api in apis], provider, TROUBLE, seed=1)

    assert verdict.faults == []
    assert verdict.kills == 1
    assert 0 < verdict.lost < TROUBLE.readers
    assert verdict.readings[-1].ends == ["completed"]
    assert verdict.disconnects >= TROUBLE.readers * TROUBLE.leaves // 3
