"""``GET /usage``: what calls of served programs have cost, for those who may know it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.run import RunError, RunStatus
from dspy_service.domain.serving.run_events import Failed, Predicted
from tests.support.run_samples import a_token, in_progress
from tests.support.scripted_serving import scripted_serving, tell
from tests.support.served_programs import a_new_version
from tests.support.usage_samples import a_run_of, a_usage, ended, ends, told
from tests.unit.api.keyed import header, make_key

QUESTION = {"question": "Why is the sky blue?"}
COSTLY = Predicted(prediction={"answer": "So."}, answer="So.", usage=a_usage(cost_usd=0.002))


async def test_nothing_was_called_and_nothing_was_spent(client: httpx.AsyncClient) -> None:
    before = datetime.now(UTC).date()
    body = (await client.get("/v1/usage")).json()

    assert body["to"] in {before.isoformat(), datetime.now(UTC).date().isoformat()}
    assert body["data"] == []
    assert body["totals"] == {
        "runs": 0,
        **dict.fromkeys(("completed", "incomplete", "failed", "cancelled"), 0),
        **dict.fromkeys(("calls", "cached_calls", "failed_calls", "unpriced_calls", "estimated_calls"), 0),
        **dict.fromkeys(("prompt_tokens", "completion_tokens"), 0),
        "cost_usd": 0.0,
    }


async def test_a_call_over_http_is_charged_to_the_key_that_made_it(
    client: httpx.AsyncClient, services: Services
) -> None:
    one, other = await make_key(services), await make_key(services)
    await services.programs.add_version(a_new_version(tenant="acme"))
    async with scripted_serving(services.runs, tell(COSTLY)):
        for key in (one, one, other):
            answer = await client.post(
                "/programs/answers/predict", json=QUESTION, headers={"authorization": f"Bearer {key.token}"}
            )
            assert answer.status_code == 200, answer.text
    sent = {"authorization": f"Bearer {other.token}"}

    by_key = (await client.get("/usage?group_by=key", headers=sent)).json()
    mine = (await client.get(f"/usage?key_id={other.key_id}&group_by=version", headers=sent)).json()

    assert {row["key_id"]: (row["runs"], row["cost_usd"]) for row in by_key["data"]} == {
        one.key_id: (2, 0.004),
        other.key_id: (1, 0.002),
    }
    [row] = mine["data"]
    assert (row["program"], row["version"], row["completed"], row["key_id"], row["day"]) == (
        "answers",
        1,
        1,
        None,
        None,
    )


async def test_in_open_mode_there_is_no_key(client: httpx.AsyncClient, services: Services) -> None:
    await services.programs.add_version(a_new_version())
    async with scripted_serving(services.runs, tell(COSTLY)):
        await client.post("/programs/answers/predict", json=QUESTION)

    [row] = (await client.get("/usage?group_by=key")).json()["data"]

    assert (row["key_id"], row["calls"], row["prompt_tokens"], row["completion_tokens"]) == (None, 1, 10, 3)


async def test_failed_and_cancelled_runs_cost_what_they_cost(client: httpx.AsyncClient, services: Services) -> None:
    error = RunError(code="internal", message="It broke.")
    lost = await in_progress(services.runs, a_run_of())
    await services.runs.append(
        lost.run_id, fence=1, facts=[told(a_usage()), Failed(error=error, partial=False)], batch=1
    )
    await services.runs.finish(lost.run_id, fence=1, outcome=ends(RunStatus.FAILED, a_usage()), facts=[])
    await ended(services.runs, usage=a_usage(), status=RunStatus.CANCELLED)

    totals = (await client.get("/usage")).json()["totals"]

    assert (totals["runs"], totals["failed"], totals["cancelled"], totals["cost_usd"]) == (2, 1, 1, 0.002)


async def test_a_tenant_sees_its_own(client: httpx.AsyncClient, services: Services) -> None:
    await ended(services.runs, a_run_of(tenant="acme"), a_usage())
    acme, other = await header(services), await header(services, tenant="other")

    found = [(await client.get("/usage", headers=sent)).json()["totals"]["runs"] for sent in (acme, other)]

    assert found == [1, 0]


async def test_a_key_that_may_only_call_programs_does_not_see_what_others_spend(
    client: httpx.AsyncClient, services: Services
) -> None:
    sent = await header(services, scopes=[Scope.SERVE_INVOKE])

    answer = await client.get("/usage", headers=sent)

    assert answer.status_code == 403


async def test_days_are_chosen_by_utc(client: httpx.AsyncClient, services: Services) -> None:
    run = await ended(services.runs, usage=a_usage())
    assert run.completed_at is not None
    day = run.completed_at.date()

    then = (await client.get(f"/usage?from={day}&to={day}&group_by=day")).json()
    before = (await client.get(f"/usage?to={day - timedelta(days=1)}")).json()

    assert [(row["day"], row["runs"]) for row in then["data"]] == [(day.isoformat(), 1)]
    assert before["totals"]["runs"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-13-01", "from"),
        ("from=86400", "from"),
        ("to=yesterday", "to"),
        ("to=2026-01-01T00:00:00", "to"),
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("from=2024-01-01&to=2026-01-01", "from"),
        ("group_by=model", "group_by"),
        ("version=0", "version"),
        ("version=first", "version"),
        ("limit=0", "limit"),
        (f"program={'x' * 64}", "program"),
        ("programme=qa", "programme"),
    ],
)
async def test_a_question_that_makes_no_sense_names_its_field(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    answer = await client.get(f"/usage?{query}")

    assert answer.status_code == 422, answer.text
    assert [problem["field"] for problem in answer.json()["detail"]] == [field]


@pytest.mark.parametrize("query", ["to=0001-01-01", "from=9999-12-31&to=9999-12-31", "program=nobody", "key_id=x"])
async def test_where_nothing_was_spent_nothing_is_told(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/usage?{query}")

    assert (answer.status_code, answer.json()["totals"]["runs"]) == (200, 0)


async def test_operators_see_the_sum_of_all_tenants_without_their_names(
    client: httpx.AsyncClient, services: Services
) -> None:
    await ended(services.runs, a_run_of(tenant="acme"), a_usage(cost_usd=0.5))
    await ended(services.runs, a_run_of("other"), a_usage(calls=0, cached=1), status=RunStatus.FAILED)
    live = await in_progress(services.runs, a_run_of())
    await services.runs.append(live.run_id, fence=1, facts=[a_token("x")], batch=1)

    lines = (await client.get("/metrics")).text.splitlines()

    assert {
        'dspy_service_runs_total{status="completed"} 1.0',
        'dspy_service_runs_total{status="failed"} 1.0',
        'dspy_service_runs_total{status="cancelled"} 0.0',
        'dspy_service_lm_calls_total{outcome="answered",role="serving"} 1.0',
        'dspy_service_lm_calls_total{outcome="shared",role="serving"} 1.0',
        'dspy_service_lm_tokens_total{direction="input",role="serving"} 10.0',
        'dspy_service_lm_cost_usd_total{role="serving"} 0.5',
    } <= set(lines)
    assert not [line for line in lines if "acme" in line or "other" in line]
