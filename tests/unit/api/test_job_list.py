"""``GET /jobs``: a tenant's jobs, newest first, page by page."""

from typing import Any

import httpx
import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.bootstrap import Services
from tests.support import working
from tests.unit.api.keyed import header
from tests.unit.api.payloads import gepa, payload


async def submitted(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    return str((await client.post("/run", json=body)).json()["job_id"])


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/jobs{query}")
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["data"]]


async def test_a_list_is_newest_first_and_holds_summaries(client: httpx.AsyncClient) -> None:
    ids = [await submitted(client, payload()) for _ in range(3)]

    body = (await client.get("/jobs")).json()

    assert [job["job_id"] for job in body["data"]] == ids[::-1]
    assert (body["object"], body["has_more"], body["last_id"]) == ("list", False, ids[0])
    assert body["data"][0] == (await client.get(f"/jobs/{ids[2]}/summary")).json()


async def test_without_jobs_it_is_empty(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/jobs")).json()

    assert body == {"object": "list", "data": [], "has_more": False, "last_id": None}


async def test_pages_follow_one_another(client: httpx.AsyncClient) -> None:
    ids = [await submitted(client, payload()) for _ in range(5)]
    seen, after = [], ""

    while True:
        page = (await client.get(f"/jobs?limit=2{after}")).json()
        seen.append([job["job_id"] for job in page["data"]])
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"

    assert seen == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_filters_are_all_applied(client: httpx.AsyncClient, jobs: MemoryJobStore) -> None:
    one = await submitted(client, payload(metadata={"team": "a", "run": "1"}))
    two = await submitted(client, payload(metadata={"team": "a", "run": "2"}))
    other = await submitted(client, gepa(metadata={"team": "a"}))
    await working.start(jobs, two)

    assert await listed(client, "?status=pending") == [other, one]
    assert await listed(client, "?status=running") == [two]
    assert await listed(client, "?optimizer=gepa") == [other]
    assert await listed(client, "?metadata[team]=a") == [other, two, one]
    assert await listed(client, "?metadata[team]=a&metadata[run]=1") == [one]
    assert await listed(client, "?status=running&optimizer=gepa") == []


@pytest.mark.parametrize("name", ["labeled_few_shot", "dspy.LabeledFewShot", "dspy.teleprompt.LabeledFewShot"])
async def test_an_optimizer_is_found_by_any_of_its_names(name: str, client: httpx.AsyncClient) -> None:
    short = await submitted(client, payload(optimizer_name="labeled_few_shot", optimizer_kwargs={}))
    dotted = await submitted(client, payload(optimizer_name="dspy.LabeledFewShot", optimizer_kwargs={}))
    await submitted(client, gepa())

    assert await listed(client, f"?optimizer={name}") == [dotted, short]
    assert await listed(client, "?optimizer=of_an_older_version") == []
    assert (await client.get(f"/jobs/{dotted}/summary")).json()["optimizer_name"] == "dspy.LabeledFewShot"


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("after=nonsense", "after", "must be the id of a job; take `last_id` of the page before"),
        ("limit=ten", "limit", "must be a whole number"),
    ],
)
async def test_a_value_of_the_wrong_form_is_refused_in_words(
    query: str, field: str, sentence: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get(f"/jobs?{query}")

    assert answer.json()["detail"] == [{"field": field, "message": sentence}]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("after=nonsense", "after"),
        ("status=done", "status"),
        ("optimizer=", "optimizer"),
        ("stauts=pending", "stauts"),
        ("metadata=a", "metadata"),
        ("metadata[]=a", "metadata[]"),
        ("status=pending&status=running", "status"),
        ("&".join(f"metadata[{number}]=a" for number in range(17)), "metadata"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(query: str, field: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/jobs?{query}")

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert answer.json()["detail"][0]["field"] == field


async def test_a_misspelt_parameter_gets_a_hint(client: httpx.AsyncClient) -> None:
    answer = await client.get("/jobs?optimiser=gepa")

    assert "did you mean 'optimizer'?" in answer.json()["detail"][0]["message"]


async def test_nobody_sees_the_jobs_of_others(client: httpx.AsyncClient, services: Services) -> None:
    mine, theirs = await header(services, tenant="acme"), await header(services, tenant="other")
    await client.post("/run", json=payload(), headers=mine)

    assert len((await client.get("/jobs", headers=mine)).json()["data"]) == 1
    assert (await client.get("/jobs", headers=theirs)).json()["data"] == []
