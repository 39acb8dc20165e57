"""``POST /run`` queues exactly what was asked for."""

import asyncio
import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.job import Claim
from tests.unit.api.payloads import MODEL, gepa, payload


async def claimed(jobs: MemoryJobStore, job_id: str) -> Claim:
    claim = await jobs.claim(job_id, owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    return claim


@pytest.mark.parametrize("path", ["/run", "/v1/run"])
async def test_the_answer_is_that_of_the_contract(path: str, client: httpx.AsyncClient) -> None:
    answer = await client.post(path, json=payload())

    assert answer.status_code == 200
    body = answer.json()
    assert uuid.UUID(body.pop("job_id")).version == 7
    assert body == {"status": "pending", "estimated_remaining_seconds": None}


async def test_the_spec_is_stored_as_submitted(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    body = payload(
        module_name="dspy.ChainOfThought",
        optimizer_name="dspy.teleprompt.MIPROv2",
        module_kwargs={"temperature": 0.5},
        task_model_config={"name": "openai/x", "base_url": "http://127.0.0.1:9/v1", "temperature": 1},
        metadata={"team": "research"},
    )

    answer = await client.post("/run", json=body)

    stored = (await claimed(jobs, answer.json()["job_id"])).spec.model_dump(mode="json", exclude_unset=True)
    sent = {name: value for name, value in body.items() if name != "dataset"}
    assert {name: stored[name] for name in sent if name not in {"model_config", "task_model_config"}} == {
        name: value for name, value in sent.items() if name not in {"model_config", "task_model_config"}
    }
    assert stored["task_model_config"]["base_url"] == "http://127.0.0.1:9/v1"


async def test_the_flat_mapping_is_stored_nested(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    answer = await client.post("/run", json=payload(column_mapping={"question": "q", "answer": "a"}))

    mapping = (await claimed(jobs, answer.json()["job_id"])).spec.column_mapping
    assert (mapping.inputs, mapping.outputs) == ({"question": "q"}, {"answer": "a"})


async def test_rows_stand_in_the_artifact_store_under_their_digest(
    client: httpx.AsyncClient, jobs: MemoryJobStore, artifacts: MemoryArtifactStore
) -> None:
    first = await client.post("/run", json=payload())
    second = await client.post("/run", json=payload(seed=8))

    [(path, data)] = artifacts.files.items()
    assert json.loads(data) == payload()["dataset"]
    assert path == f"datasets/local/{hashlib.sha256(data).hexdigest()}.json"
    records = [await jobs.get(answer.json()["job_id"]) for answer in (first, second)]
    assert [record.dataset_path for record in records] == [path, path]
    assert [record.dataset_rows for record in records] == [20, 20]


async def test_a_missing_seed_is_drawn_stored_and_echoed(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    answers = [await client.post("/run", json=payload(seed=None)) for _ in range(4)]

    ids = [answer.json()["job_id"] for answer in answers]
    echoed = [(await client.get(f"/jobs/{job_id}/summary")).json()["seed"] for job_id in ids]
    stored = [(await claimed(jobs, job_id)).spec.seed for job_id in ids]
    assert stored == echoed
    assert len(set(echoed)) > 1


async def test_only_the_required_fields_are_required(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    names = ("signature_code", "metric_code", "dataset", "column_mapping", "optimizer_name", "model_config")

    answer = await client.post("/run", json={name: payload()[name] for name in names})

    record = await jobs.get(answer.json()["job_id"])
    assert (record.module_name, record.shuffle) == ("predict", True)
    assert record.split_fractions.model_dump() == {"train": 0.7, "val": 0.15, "test": 0.15}


async def test_gepa_with_a_reflection_model_is_accepted(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    answer = await client.post("/run", json=gepa())

    roles = (await claimed(jobs, answer.json()["job_id"])).spec.models()
    assert roles["reflection"].name == MODEL["name"]


async def test_an_idempotency_key_replays_the_first_job(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    headers = {"Idempotency-Key": "night-1"}

    first = await client.post("/run", json=payload(), headers=headers)
    again = await client.post("/v1/run", json=payload(), headers=headers)

    assert again.status_code == 200
    assert again.json() == first.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert len(jobs._records) == 1


async def test_an_idempotency_key_with_another_body_is_refused(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    headers = {"Idempotency-Key": "night-1"}
    await client.post("/run", json=payload(), headers=headers)

    answer = await client.post("/run", json=payload(seed=8), headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (422, "idempotency_key_reused")
    [problem] = answer.json()["detail"]
    assert problem["field"] == "Idempotency-Key"
    assert "'night-1'" in problem["message"]
    assert len(jobs._records) == 1


async def test_a_hundred_posts_at_once_with_one_key_make_one_job(
    client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    headers = {"Idempotency-Key": "night-1"}

    answers = await asyncio.gather(*(client.post("/run", json=payload(), headers=headers) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(jobs._records) == 1


async def test_ids_sort_by_time(client: httpx.AsyncClient) -> None:
    ids = [(await client.post("/run", json=payload())).json()["job_id"] for _ in range(3)]

    assert ids == sorted(ids)
    assert datetime.now(UTC) - datetime.fromtimestamp(uuid.UUID(ids[0]).int / 2**80 / 1000, UTC) < timedelta(minutes=1)
