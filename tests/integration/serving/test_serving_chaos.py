"""Readers come and go, and processes die: nobody misses a character, or reads one twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.openai_server import OpenAIServer
from tests.support.serving_apis import serving_apis
from tests.support.serving_chaos import Trouble, serving_chaos
from tests.support.serving_questions import answering, deploy_for_questions
from tests.support.serving_stage import serving_stage
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]

TROUBLE: Final = Trouble(readers=32, at_once=16, leaves=8, pieces=60, faults=("kill", "freeze", "deploy", "kill API"))


CALM: Final = {"RUN_LEASE_SECONDS": "5", "SERVING_DRAIN_SECONDS": "60"}
"""On a busy machine, too, a run is lost by what strikes alone."""


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(answering(TROUBLE.pieces, piece_seconds=0.02)) as server:
        yield server


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_whoever_leaves_and_whatever_dies(
    redis_url: str, tmp_path: Path, provider: OpenAIServer
) -> None:
    async with serving_stage(redis_url, tmp_path, **CALM) as stage:
        await deploy_for_questions(stage, provider.base_url)
        await stage.worker(processes=2)

        async with serving_apis(stage, 2) as apis:
            verdict = await serving_chaos(stage, apis, provider, TROUBLE, seed=1)

    assert verdict.faults == []
    assert sorted(verdict.struck.elements()) == sorted(TROUBLE.faults)
    assert 0 < verdict.lost < len(verdict.readings)
    assert verdict.replaced
    assert verdict.readings[-1].ends == ["completed"]
    assert verdict.disconnects >= TROUBLE.readers * TROUBLE.leaves // 3
