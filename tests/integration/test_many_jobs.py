"""Twenty jobs at once on two slots: all end, and nothing of one job shows up in another."""

from typing import Any

import httpx

from tests.support.payloads import ticket_request, ticket_rows
from tests.support.service import RunningService

COUNT = 20


def request(number: int) -> dict[str, Any]:
    """Return a job whose metric prints its own number, so that every line can be traced."""
    metric = (
        "def metric(gold, pred, trace=None):\n"
        f"    print('belongs to {number:02d}')\n"
        "    return float(gold.team == pred.team)\n"
    )
    return ticket_request(
        ticket_rows(20 + number),
        metric_code=metric,
        optimizer_name="bootstrap_few_shot",
        optimizer_kwargs={"max_bootstrapped_demos": 2},
        metadata={"number": f"{number:02d}"},
        seed=number,
    )


def all_events(client: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """Return every event of a job, page by page."""
    events: list[dict[str, Any]] = []
    more = True
    while more:
        after = events[-1]["seq"] if events else 0
        page = client.get(f"/jobs/{job_id}/events", params={"after": after, "limit": 1000}).json()
        events += page["data"]
        more = page["has_more"]
    return events


def test_twenty_jobs_at_once_all_end_and_keep_their_own_events(service: RunningService) -> None:
    with httpx.Client(base_url=service.base_url, timeout=60) as client:
        ids = [service.submit(request(number)) for number in range(COUNT)]

        records = [service.wait(job_id, timeout_seconds=180) for job_id in ids]

        assert [record["status"] for record in records] == ["success"] * COUNT
        for number, (job_id, record) in enumerate(zip(ids, records, strict=True)):
            printed = {entry["message"] for entry in record["logs"] if entry["logger"] == "stdout"}
            owners = {line for line in printed if line.startswith("belongs to")}
            assert owners == {f"belongs to {number:02d}"}
            counts = record["result"]["split_counts"]
            assert sum(counts.values()) == 20 + number
            numbers = [event["seq"] for event in all_events(client, job_id)]
            assert numbers == list(range(1, len(numbers) + 1))
