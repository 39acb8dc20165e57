"""``POST /programs/{name}/predict`` with a ``batch``: every item is a run of its own."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.serving.run import Run, RunError
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact
from tests.support.run_samples import a_new_run, queued
from tests.support.scripted_serving import ScriptedServing, scripted_serving
from tests.support.served_programs import a_new_version
from tests.unit.api.keyed import header

PATH = "/programs/answers/predict"
LOST = RunError(code="lm_transport", message="The connection broke.")


def echo(run: Run) -> list[RunFact]:
    """Answer with the question, but fail where it says so."""
    question = str(run.inputs["question"])
    if question == "fail":
        return [Failed(error=LOST, partial=False)]
    return [Predicted(prediction={"answer": question}, answer=question, usage=None)]


@pytest.fixture
def settings() -> Settings:
    return Settings.model_construct(max_body_bytes=200_000, max_live_runs=1)


@pytest.fixture
async def serving(services: Services) -> AsyncIterator[ScriptedServing]:
    await services.programs.add_version(a_new_version())
    async with scripted_serving(services.runs, echo) as serving:
        yield serving


async def predict(client: httpx.AsyncClient, batch: list[object], **headers: str) -> dict[str, Any]:
    answer = await client.post(PATH, json={"batch": batch}, headers=headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_answers_stand_in_the_order_of_the_batch(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    body = await predict(client, [{"question": str(number)} for number in range(20)])

    assert [item["index"] for item in body["data"]] == list(range(20))
    assert [item["result"]["prediction"]["answer"] for item in body["data"]] == [str(number) for number in range(20)]
    assert len({run.run_id for run in serving.served}) == 20
    assert body["failed"] == 0


async def test_what_is_wrong_with_one_item_stands_in_its_place(
    client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    body = await predict(client, [{"question": "a"}, {"question": 3}, {"question": "fail"}, {"question": "b"}])

    wrong, failed = body["data"][1]["problem"], body["data"][2]["problem"]
    assert [item["result"] is not None for item in body["data"]] == [True, False, False, True]
    assert body["failed"] == 2
    assert wrong["error"] == "invalid_request"
    assert wrong["detail"] == [{"field": "batch.1.question", "message": "must be a valid string"}]
    assert (failed["error"], failed["run_id"]) == ("lm_transport", serving.served[1].run_id)


async def test_items_beyond_the_quota_say_so(client: httpx.AsyncClient, services: Services) -> None:
    await services.programs.add_version(a_new_version())
    await queued(services.runs, a_new_run())

    body = await predict(client, [{"question": "a"}], **await header(services, tenant="local"))

    assert [item["problem"]["error"] for item in body["data"]] == ["quota_exceeded"]


async def test_a_batch_sent_again_with_its_key_is_the_same_runs(
    client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    batch: list[object] = [{"question": "a"}, {"question": "b"}]

    first = await predict(client, batch, **{"idempotency-key": "k1"})
    again = await predict(client, batch, **{"idempotency-key": "k1"})

    assert again == first
    assert len(serving.served) == 2


@pytest.mark.parametrize("batch", [[], [{}] * 101, [1]], ids=["empty", "too many", "no objects"])
async def test_a_malformed_batch_is_refused(
    batch: list[object], client: httpx.AsyncClient, serving: ScriptedServing
) -> None:
    answer = await client.post(PATH, json={"batch": batch})

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert serving.served == []


async def test_a_batch_cannot_be_streamed(client: httpx.AsyncClient, serving: ScriptedServing) -> None:
    answer = await client.post(f"{PATH}/stream", json={"batch": [{"question": "a"}]})

    assert (answer.status_code, answer.json()["detail"][0]["field"]) == (422, "batch")
    assert serving.served == []
