"""What a real serving worker's runs cost, however they end, is what is counted for their keys."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from dspy_service.domain.call_counts import NANOS_PER_USD
from dspy_service.domain.origins import origin_of
from dspy_service.domain.result import RoleUsage
from dspy_service.domain.serving.run import Run, RunStatus
from dspy_service.domain.serving.usage import UsageEntry, UsageFigure
from dspy_service.domain.spec import ModelSettings
from tests.support.openai_server import OpenAIServer, Reply, error
from tests.support.serving_stage import ServingStage, serving_stage
from tests.support.usage_samples import summed
from tests.support.valkey import redis_url, valkey_server

__all__ = ["redis_url", "valkey_server"]

WORDS = [f"word{number} " for number in range(200)]
KEYS = ("00000000000000aa", "00000000000000bb")
PRICES = """
[prices."openai/test@{origin}"]
input_usd_per_million_tokens = 2.5
output_usd_per_million_tokens = 10
"""


def _answer_as_asked(body: dict[str, object]) -> Reply:
    asked = str(body["messages"])
    if "refused" in asked:
        return error(400)
    if "slow" in asked:
        return Reply(pieces=WORDS, piece_seconds=0.05)
    return Reply(pieces=WORDS[:10], prompt_tokens=31, completion_tokens=20)


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_answer_as_asked) as server:
        yield server


@pytest.fixture
async def stage(redis_url: str, tmp_path: Path, provider: OpenAIServer) -> AsyncIterator[ServingStage]:
    models = tmp_path / "models.toml"
    models.write_text(PRICES.format(origin=origin_of(provider.base_url)), encoding="utf-8")
    async with serving_stage(redis_url, tmp_path, MODELS_FILE=str(models)) as stage:
        await stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text")
        yield stage


async def answered(stage: ServingStage, question: str, key_id: str) -> Run:
    return await stage.ended(await stage.ask(inputs={"question": question}, key_id=key_id), seconds=60)


async def begun(stage: ServingStage, question: str, key_id: str) -> str:
    run_id = await stage.ask(inputs={"question": question}, key_id=key_id)
    await stage.writes(run_id, seconds=60)
    return run_id


async def counted(stage: ServingStage, runs: Sequence[Run]) -> list[UsageEntry]:
    days = [run.completed_at.date() for run in runs if run.completed_at is not None]
    return list(await stage.runs.usage("local", first=min(days) - timedelta(days=1), last=max(days)))


def roles_of(runs: Iterable[Run]) -> list[RoleUsage]:
    return [role for run in runs if run.usage is not None for role in run.usage.roles.values()]


async def test_what_is_counted_is_the_sum_of_what_the_runs_say(stage: ServingStage) -> None:
    worker = await stage.worker()
    answers = [await answered(stage, f"Question {number}?", KEYS[number % 2]) for number in range(4)]
    cached = await answered(stage, "Question 0?", KEYS[1])
    refused = await answered(stage, "Be refused.", KEYS[0])
    to_cancel = await begun(stage, "Be slow.", KEYS[1])
    await stage.runs.cancel(to_cancel, reason="asked")
    cancelled = await stage.ended(to_cancel, seconds=60)
    to_lose = await begun(stage, "Be very slow.", KEYS[0])
    for child in worker.children():
        child.send(signal.SIGKILL)
    lost = await stage.ended(to_lose, seconds=60)
    runs = [*answers, cached, refused, cancelled, lost]

    entries = await counted(stage, runs)

    statuses = [run.status for run in runs]
    assert statuses == [*[RunStatus.COMPLETED] * 5, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.FAILED]
    for key_id in KEYS:
        of_key = [run for run in runs if run.key_id == key_id]
        roles = roles_of(of_key)
        figures = summed(entry for entry in entries if entry.key_id == key_id)
        costs = [role.cost_usd for role in roles if role.cost_usd is not None]
        assert figures[UsageFigure.COMPLETED] == sum(run.status is RunStatus.COMPLETED for run in of_key)
        assert figures[UsageFigure.FAILED] == sum(run.status is RunStatus.FAILED for run in of_key)
        assert figures[UsageFigure.CANCELLED] == sum(run.status is RunStatus.CANCELLED for run in of_key)
        assert figures[UsageFigure.CALLS] == sum(role.calls for role in roles)
        assert figures[UsageFigure.FAILED_CALLS] == sum(role.failed_calls for role in roles)
        assert figures[UsageFigure.PROMPT_TOKENS] == sum(role.prompt_tokens for role in roles)
        assert figures[UsageFigure.COMPLETION_TOKENS] == sum(role.completion_tokens for role in roles)
        assert figures[UsageFigure.COST_NANO_USD] / NANOS_PER_USD == pytest.approx(sum(costs), abs=1e-8)
    total = summed(entries)
    assert total[UsageFigure.CACHED_CALLS] == 1
    assert total[UsageFigure.FAILED_CALLS] == 1
    assert (
        total[UsageFigure.ESTIMATED_CALLS] == 1
    )  # of the cancelled run; what a killed process had begun, nobody knows
    assert total[UsageFigure.UNPRICED_CALLS] == 0
    assert {(entry.program, entry.version) for entry in entries} == {("qa", 1)}


async def test_many_runs_that_end_at_once_are_all_counted(stage: ServingStage) -> None:
    await stage.worker(processes=2)

    run_ids = [await stage.ask(inputs={"question": f"Question {number}?"}) for number in range(30)]
    runs = list(await asyncio.gather(*(stage.ended(run_id, seconds=60) for run_id in run_ids)))

    total = summed(await counted(stage, runs))
    assert (total[UsageFigure.COMPLETED], total[UsageFigure.CALLS]) == (30, 30)
    assert total[UsageFigure.COST_NANO_USD] == 30 * (31 * 2_500 + 20 * 10_000)
