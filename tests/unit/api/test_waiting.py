"""A pending job says where it stands and why it waits; operators see the same from above."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.call_counts import CallCount, CallFigure
from tests.support import working
from tests.unit.api.payloads import payload


async def submitted(client: httpx.AsyncClient, **changes: Any) -> str:  # noqa: ANN401  # any field of the request
    return str((await client.post("/run", json=payload(**changes))).json()["job_id"])


async def waiting(client: httpx.AsyncClient, job_id: str) -> tuple[int | None, str | None, str | None]:
    summary = (await client.get(f"/jobs/{job_id}/summary")).json()
    return summary["queue_position"], summary["waiting_reason"], summary["waiting_detail"]


async def test_the_next_job_of_a_free_worker_waits_for_nothing(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.announce(jobs, "L1")
    job_id = await submitted(client)

    assert await waiting(client, job_id) == (1, None, None)


async def test_without_a_worker_it_says_so(client: httpx.AsyncClient) -> None:
    job_id = await submitted(client)

    position, reason, detail = await waiting(client, job_id)

    assert (position, reason) == (1, "no_worker")
    assert "No worker is live; start one" in (detail or "")


async def test_a_later_job_stands_behind_the_earlier_and_a_more_urgent_one_before_them(
    client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    await working.announce(jobs, "L1")
    first, second = await submitted(client), await submitted(client)
    urgent = await submitted(client, priority=9)

    places = [await waiting(client, job_id) for job_id in (urgent, first, second)]

    assert [(position, reason) for position, reason, _ in places] == [
        (1, None),
        (2, "behind_others"),
        (3, "behind_others"),
    ]


async def test_a_job_waits_for_a_slot(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    await working.announce(jobs, "L1")
    for _ in range(2):
        await working.start(jobs, await submitted(client))
    job_id = await submitted(client)

    position, reason, detail = await waiting(client, job_id)

    assert (position, reason) == (1, "behind_others")
    assert "All 2 slots" in (detail or "")


async def test_a_job_that_does_not_wait_has_no_place(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    job_id = await submitted(client)
    await working.start(jobs, job_id)

    assert await waiting(client, job_id) == (None, None, None)


@pytest.mark.parametrize("level", [None, "L1"])
async def test_a_job_whose_worker_has_gone_silent_says_so(
    level: Any,  # noqa: ANN401  # a word of a Literal type
    client: httpx.AsyncClient,
    jobs: MemoryJobStore,
) -> None:
    now = datetime.now(UTC)
    jobs.clock = lambda: now
    job_id = await submitted(client)
    await working.start(jobs, job_id)
    await client.post(f"/jobs/{job_id}/pause")
    jobs.clock = lambda: now + timedelta(seconds=16)
    if level is not None:
        await working.announce(jobs, level)

    position, reason, detail = await waiting(client, job_id)

    assert (position, reason) == (None, "worker_silent")
    first, second, rest = (detail or "").split(". ", 2)
    assert (first, second) == ("Its worker has gone silent", "Ask for the pause once more: it is done at once now")
    assert rest.startswith("It waits for another worker" if level else "No worker is live; start one")
    assert (await client.get("/jobs")).json()["data"][0]["waiting_reason"] == "worker_silent"


async def test_a_silent_workers_job_of_which_nothing_was_asked_just_waits(
    client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    now = datetime.now(UTC)
    jobs.clock = lambda: now
    job_id = await submitted(client)
    await working.start(jobs, job_id)
    jobs.clock = lambda: now + timedelta(seconds=16)
    await working.announce(jobs, "L1")

    silent = await waiting(client, job_id)
    cancelled = (await client.post(f"/jobs/{job_id}/cancel")).json()

    detail = "Its worker has gone silent. It waits for another worker within seconds."
    assert silent == (None, "worker_silent", detail)
    assert (cancelled["status"], cancelled["message"], cancelled["waiting_reason"]) == ("cancelled", "cancelled", None)


class TestWithATenantLimit:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(sandbox_min_level="L1", tenant_running_jobs=1)

    async def test_a_job_waits_for_its_own_tenants_jobs(self, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
        await working.announce(jobs, "L1")
        await working.start(jobs, await submitted(client))
        job_id = await submitted(client)

        position, reason, detail = await waiting(client, job_id)

        assert (position, reason) == (1, "tenant_limit")
        assert "1 of your jobs run" in (detail or "")


async def test_what_the_budget_counts_is_shown(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    job_id = await submitted(client, budget={"max_lm_calls": 100, "max_seconds": 60}, priority=7)
    fence = await working.start(jobs, job_id)
    await jobs.renew(job_id, fence=fence, lease_seconds=15, active_seconds=5.0)

    summary = (await client.get(f"/jobs/{job_id}/summary")).json()

    assert (summary["budget"]["max_lm_calls"], summary["priority"]) == (100, 7)
    assert summary["active_seconds"] == 5.0
    assert (summary["losses"], summary["best_score"], summary["requested"]) == (0, None, None)


class TestHealth:
    async def test_it_counts_the_queue(self, client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
        await working.announce(jobs, "L1")
        await working.start(jobs, await submitted(client))
        await submitted(client)

        queue = (await client.get("/health")).json()["queue"]

        assert (queue["waiting"], queue["running"], queue["no_worker"]) == (1, 1, None)

    async def test_it_says_that_no_worker_will_take_what_waits(self, client: httpx.AsyncClient) -> None:
        await submitted(client)

        answer = await client.get("/health")

        assert answer.status_code == 503
        assert "No worker is live" in answer.json()["queue"]["no_worker"]
        assert "Jobs that wait: 1" in answer.json()["detail"]

    async def test_free_workers_that_take_nothing_are_noticed_within_half_a_minute(
        self, client: httpx.AsyncClient, jobs: MemoryJobStore
    ) -> None:
        now = datetime.now(UTC)
        jobs.clock = lambda: now
        await working.announce(jobs, "L1")
        job_id = await submitted(client)
        jobs.clock = lambda: now + timedelta(seconds=30)

        answer = await client.get("/health")

        assert answer.status_code == 200
        assert "take no job" in answer.json()["queue"]["no_worker"]
        assert (await waiting(client, job_id))[1] == "no_worker"


class TestMetrics:
    async def test_they_are_in_the_text_form_of_prometheus(
        self, client: httpx.AsyncClient, jobs: MemoryJobStore
    ) -> None:
        await working.announce(jobs, "L1")
        await working.start(jobs, await submitted(client))
        await submitted(client)

        answer = await client.get("/metrics")

        lines = answer.text.splitlines()
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "# TYPE dspy_service_jobs_waiting gauge" in lines
        assert {
            "dspy_service_store_up 1.0",
            "dspy_service_jobs_waiting 1.0",
            "dspy_service_jobs_running 1.0",
            "dspy_service_workers_live 1.0",
            "dspy_service_workers_eligible 1.0",
            "dspy_service_worker_slots 2.0",
            "dspy_service_no_worker_for_waiting_jobs 0.0",
            "dspy_service_event_streams 0.0",
        } <= set(lines)

    async def test_calls_of_language_models_are_counted_by_role_with_their_cost(
        self, client: httpx.AsyncClient, services: Services
    ) -> None:
        counts = {
            CallCount(CallFigure.ANSWERED, "task"): 7,
            CallCount(CallFigure.REPLAYED, "task"): 2,
            CallCount(CallFigure.OVER_BUDGET, "prompt"): 1,
            CallCount(CallFigure.INPUT_TOKENS, "task"): 300,
            CallCount(CallFigure.OUTPUT_TOKENS, "task"): 40,
            CallCount(CallFigure.COST_NANO_USD, "task"): 1_500_000_000,
            CallCount(CallFigure.UNPRICED, "task"): 3,
            CallCount(CallFigure.ESTIMATED, "task"): 5,
            CallCount(CallFigure.RATE_LIMITS): 4,
            CallCount(CallFigure.WAITED_MILLISECONDS): 2500,
        }
        await services.ledger.add("job:1", 1, counts)

        lines = (await client.get("/metrics")).text.splitlines()

        assert "# TYPE dspy_service_lm_calls_total counter" in lines
        assert {
            'dspy_service_lm_calls_total{outcome="answered",role="task"} 7.0',
            'dspy_service_lm_calls_total{outcome="replayed",role="task"} 2.0',
            'dspy_service_lm_calls_total{outcome="over_budget",role="prompt"} 1.0',
            'dspy_service_lm_tokens_total{direction="input",role="task"} 300.0',
            'dspy_service_lm_tokens_total{direction="output",role="task"} 40.0',
            'dspy_service_lm_calls_total{outcome="answered",role="prompt"} 0.0',
            'dspy_service_lm_cost_usd_total{role="task"} 1.5',
            'dspy_service_lm_cost_usd_total{role="prompt"} 0.0',
            'dspy_service_lm_unpriced_calls_total{role="task"} 3.0',
            'dspy_service_lm_estimated_calls_total{role="task"} 5.0',
            "dspy_service_lm_rate_limits_total 4.0",
            "dspy_service_lm_rate_limit_wait_seconds_total 2.5",
        } <= set(lines)

    async def test_before_any_call_the_counters_stand_at_nothing(self, client: httpx.AsyncClient) -> None:
        lines = (await client.get("/metrics")).text.splitlines()

        assert "# TYPE dspy_service_lm_calls_total counter" in lines
        assert "dspy_service_lm_rate_limits_total 0.0" in lines

    async def test_jobs_that_nobody_takes_raise_the_flag(self, client: httpx.AsyncClient) -> None:
        await submitted(client)

        assert "dspy_service_no_worker_for_waiting_jobs 1.0" in (await client.get("/metrics")).text.splitlines()
