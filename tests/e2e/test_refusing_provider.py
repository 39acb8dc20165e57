"""A provider that answers 429 for a while: the job says that it waits, and goes on at once when that is over."""

import time
from typing import Any

import httpx

from tests.support.openai_server import Body, OpenAIServer, Reply, demo_learner, error
from tests.support.payloads import ticket_request, ticket_rows
from tests.support.processes import wait_until
from tests.support.service import RunningService


class Outage:
    """A model that refuses everything for a while after its first calls."""

    def __init__(self, *, after_calls: int, seconds: float) -> None:
        self._calls_left = after_calls
        self._seconds = seconds
        self._answer = demo_learner(delay_seconds=0.05)
        self.begun_at: float | None = None
        self.answered: list[float] = []
        self.refusals = 0

    def __call__(self, body: Body) -> Reply:
        now = time.monotonic()
        self._calls_left -= 1
        if self._calls_left < 0 and self.begun_at is None:
            self.begun_at = now
        if self.begun_at is not None and now < self.begun_at + self._seconds:
            self.refusals += 1
            return error(429)
        self.answered.append(now)
        return self._answer(body)

    def answered_in(self, begin: float, end: float) -> int:
        """Return how many calls were answered so many seconds after the outage's end."""
        assert self.begun_at is not None
        over = self.begun_at + self._seconds
        return sum(over + begin <= at < over + end for at in self.answered)


def test_a_job_says_that_its_provider_refuses_calls_and_goes_on_when_it_answers(service: RunningService) -> None:
    outage = Outage(after_calls=20, seconds=12)
    with OpenAIServer(outage) as server:
        body = ticket_request(
            ticket_rows(60),
            optimizer_name="miprov2",
            optimizer_kwargs={"auto": "light"},
            model_config={"name": "openai/test", "base_url": server.base_url},
        )
        job_id = service.submit(body)
        wait_until(lambda: "refuses calls" in _message(service, job_id), seconds=60)
        waiting = _message(service, job_id)
        service.wait(job_id, timeout_seconds=110)

    events: list[dict[str, Any]] = httpx.get(f"{service.base_url}/jobs/{job_id}/events?limit=1000").json()["data"]
    warnings = [event["data"] for event in events if event["type"] == "warning"]
    summary = httpx.get(f"{service.base_url}/jobs/{job_id}/summary").json()
    origin = server.base_url.removesuffix("/v1")
    assert waiting.startswith(f"{origin} refuses calls (429): waiting until ")
    assert [w["code"] for w in warnings if w["code"].startswith("provider_")] == ["provider_waits", "provider_answers"]
    assert (summary["status"], summary["losses"]) == ("success", 0)
    assert "refuses" not in (summary["message"] or "")
    assert outage.refusals <= 20 + 5  # those under way, then 1, 2, 4 and 8 s after one another
    assert outage.answered_in(0, 20) >= 60


def _message(service: RunningService, job_id: str) -> str:
    return str(httpx.get(f"{service.base_url}/jobs/{job_id}/summary").json()["message"])
