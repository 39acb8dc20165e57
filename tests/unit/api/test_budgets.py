"""What a job may spend and whom it tells: bounds that mean nothing, and addresses that lead inside, are refused."""

from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.bootstrap import Services
from tests.unit.api.keyed import header
from tests.unit.api.payloads import MODEL, gepa, payload

BOUNDS = {"max_usd": 5, "max_lm_calls": 1, "max_tokens": 10_000, "max_seconds": 60, "max_metric_calls": 100}


@pytest.mark.parametrize(
    "budget",
    [
        {},
        BOUNDS,
        {"stop_at_score": 0.9, "patience": 3},
        {"roles": {"task": {"max_lm_calls": 10}, "prompt": {"max_usd": 0.5}}},
        {"roles": {"reflection": {}}},
    ],
)
async def test_a_budget_is_kept_with_the_job(
    budget: dict[str, Any], client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    answer = await client.post("/run", json=payload(budget=budget))

    assert answer.status_code == 200, answer.text
    claim = await jobs.claim(answer.json()["job_id"], owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    assert claim.spec.budget is not None
    assert claim.spec.budget.model_dump(exclude_unset=True) == budget


@pytest.mark.parametrize("name", ["stop_at_score", "patience"])
@pytest.mark.parametrize("optimizer", ["labeled_few_shot", "bootstrap_few_shot"])
async def test_an_optimizer_without_a_best_program_cannot_stop_at_one(
    optimizer: str, name: str, client: httpx.AsyncClient
) -> None:
    body = payload(optimizer_name=optimizer, optimizer_kwargs={}, budget={name: 1})

    answer = await client.post("/run", json=body)

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_request")
    assert answer.json()["detail"].startswith(f"budget.{name}: {optimizer} does not score whole programs")


async def test_a_role_that_asks_nobody_has_no_budget(client: httpx.AsyncClient) -> None:
    budget = {"roles": {"reflection": {"max_usd": 1}}}

    refused = await client.post("/run", json=payload(budget=budget))
    accepted = await client.post("/run", json=gepa(budget=budget))

    assert (refused.status_code, accepted.status_code) == (400, 200)
    assert refused.json()["detail"].startswith("budget.roles.reflection: this job has no reflection model")


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"max_usd": 0}, "budget.max_usd"),
        ({"max_lm_calls": 1.5}, "budget.max_lm_calls"),
        ({"patience": 0}, "budget.patience"),
        ({"max_dollars": 1}, "budget.max_dollars"),
        ({"roles": {"judge": {}}}, "budget.roles.judge"),
        ({"roles": {"task": {"patience": 1}}}, "budget.roles.task.patience"),
    ],
)
async def test_a_malformed_budget_names_its_field(
    budget: dict[str, Any], field: str, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/run", json=payload(budget=budget))

    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["detail"]] == [field]


@pytest.mark.parametrize("priority", [-1, 10, "high"])
async def test_a_priority_is_a_digit(priority: object, client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(priority=priority))

    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "priority")


async def test_a_webhook_may_lead_to_this_machine_in_open_mode_only(
    client: httpx.AsyncClient, services: Services, jobs: MemoryJobStore
) -> None:
    body = payload(webhook={"url": "http://127.0.0.1:9000/ended"})

    in_open_mode = await client.post("/run", json=body)
    with_keys = await client.post("/run", json=body, headers=await header(services))

    record = await jobs.get(in_open_mode.json()["job_id"])
    assert record.webhook is not None
    assert record.webhook.url == "http://127.0.0.1:9000/ended"
    assert (with_keys.status_code, with_keys.json()["error"]) == (400, "unsupported_request")
    assert with_keys.json()["detail"].startswith("webhook.url: must start with https://")


async def test_a_password_in_a_webhook_is_a_secret(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(webhook={"url": "https://user:password@hooks.example"}))

    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "webhook.url")


async def test_lower_limits_and_a_shared_cache_are_kept(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    body = payload(limits={"max_seconds": 60}, cache=True, task_model_config=MODEL)

    answer = await client.post("/run", json=body)

    claim = await jobs.claim(answer.json()["job_id"], owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    assert claim.spec.cache
    assert claim.spec.limits is not None
    assert claim.spec.limits.max_seconds == 60
