"""What the benchmarks read from the log of a language model's server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.support.lm_log import LmLog, learner, open_since
from benchmarks.support.searches import searches
from benchmarks.support.spending import (
    USD_PER_COMPLETION_TOKEN,
    USD_PER_PROMPT_TOKEN,
    in_flight_at,
    models_file,
    overshoot,
)
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.spec import RunRequest
from dspy_service.usecases.check_request import Rules, check_request
from tests.support.openai_server import OpenAIServer, Received, Reply
from workers.lm.models_file import read_models_file


def call(
    arrived_at: float, answered_at: float | None, *, prompt_tokens: int = 9, completion_tokens: int = 1
) -> Received:
    reply = Reply("a", prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
    return Received("/", {}, {}, arrived_at, answered_at, reply)


THREE = [call(0, 1), call(0.5, 2), call(1.5, 3)]


@pytest.mark.parametrize(
    ("bound", "limit", "used", "calls", "in_flight"),
    [
        ("max_lm_calls", 3, 3, 0, 0),
        ("max_lm_calls", 4, 3, 0, 0),
        ("max_lm_calls", 1, 3, 2, 1),
        ("max_lm_calls", 2, 3, 1, 1),
        ("max_tokens", 11, 30, 1, 1),
        ("max_tokens", 31, 30, 0, 0),
        ("max_usd", 9 * USD_PER_PROMPT_TOKEN, 3 * (9 * USD_PER_PROMPT_TOKEN + USD_PER_COMPLETION_TOKEN), 2, 1),
    ],
)
def test_what_was_answered_after_a_bound_was_reached_is_beyond_it(
    bound: str, limit: float, used: float, calls: int, in_flight: int
) -> None:
    found = overshoot([*reversed(THREE), call(9, None)], bound, limit)

    assert (found.used, found.calls, found.in_flight) == (pytest.approx(used), calls, in_flight)


def test_a_call_is_in_flight_from_its_arrival_until_its_answer() -> None:
    calls = [*THREE, call(1.6, None)]

    assert [in_flight_at(calls, moment) for moment in (-1, 0, 0.7, 1, 1.5, 1.7, 3, 9)] == [0, 1, 2, 1, 2, 3, 1, 1]
    assert [open_since(calls, moment) for moment in (0, 1, 2, 3)] == [4, 3, 2, 1]


def test_prices_for_models_of_a_server_are_prices_that_a_worker_can_read(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"

    path.write_text(models_file(["job-1", "job-2"], "http://127.0.0.1:7"), encoding="utf-8")

    prices = read_models_file(path).prices
    assert sorted(prices) == ["openai/job-1@http://127.0.0.1:7", "openai/job-2@http://127.0.0.1:7"]
    assert prices["openai/job-2@http://127.0.0.1:7"].input_usd_per_million_tokens == USD_PER_PROMPT_TOKEN * 1e6


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(learner(0.001)) as running:
        yield running


def test_a_question_is_repeated_when_it_came_more_often_than_the_reference_needs(server: OpenAIServer) -> None:
    log = LmLog(server)
    asked = {"reference": ["a", "b", "b"], "job": ["a", "a", "b", "b", "b", "c"], "same": ["b", "a", "b"]}

    for model, texts in asked.items():
        for text in texts:
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
            httpx.post(f"{server.base_url}/chat/completions", json=body, trust_env=False).raise_for_status()

    assert [log.repeated(model, "reference") for model in asked] == [0, 3, 0]
    assert [log.answered(model) for model in asked] == [3, 6, 3]
    assert server.received[0].reply is not None
    assert server.received[0].reply.prompt_tokens == 1


async def test_there_is_a_search_that_the_service_accepts_for_every_optimizer() -> None:
    registry = Registry()
    rules = Rules(registry=registry, policy=ModelPolicy(allow_loopback=True), max_rows=100)

    for search in searches():
        request = RunRequest.model_validate(search.body(model="job-1", base_url="http://127.0.0.1:7/v1"))
        await check_request(request, rules)
        assert len({row["ticket"] for row in request.dataset}) < len(request.dataset)

    assert [search.entry.name for search in searches()] == registry.optimizer_names


def test_searches_are_found_by_any_name() -> None:
    assert [search.name for search in searches(["dspy.GEPA", "bootstrap_rs"])] == ["gepa", "random search"]
