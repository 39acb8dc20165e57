"""A transport that plays the service from a script of answers, and remembers what it was asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from dspy_service.client import AsyncClient, Client

COMMON = {
    "created_at": "2026-01-02T03:04:05.000001Z",
    "started_at": None,
    "completed_at": None,
    "attempt": 1,
    "termination_reason": None,
    "sandbox_level": "L1",
    "metadata": {},
}
SUMMARY: Mapping[str, Any] = {
    "job_id": "j1",
    "status": "running",
    "message": "optimizer_progress",
    **COMMON,
    "elapsed_seconds": None,
    "estimated_seconds_remaining": 12.5,
    "module_name": "predict",
    "optimizer_name": "miprov2",
    "dataset_rows": 40,
    "split_fractions": {"train": 0.7, "val": 0.15, "test": 0.15},
    "shuffle": True,
    "seed": 7,
    "optimizer_kwargs": {"auto": "light"},
    "compile_kwargs": {},
    "latest_metrics": {"baseline_test_metric": 0.5},
    "requested": None,
    "priority": 5,
    "budget": None,
    "queued_at": "2026-01-02T03:04:05.000001Z",
    "queue_position": None,
    "waiting_reason": None,
    "waiting_detail": None,
    "active_seconds": 1.5,
    "losses": 0,
    "best_score": None,
    "webhook_problem": None,
}
DETAIL: Mapping[str, Any] = {
    "job_id": "j1",
    "status": "success",
    "message": "completed",
    **COMMON,
    "latest_metrics": {},
    "progress_events": [],
    "logs": [],
    "estimated_seconds_remaining": None,
    "result": None,
}


@dataclass
class ScriptedService:
    """Gives the answers of each path in order; the last one again and again."""

    answers: Mapping[str, Sequence[httpx.Response | httpx.TransportError]]
    requests: list[httpx.Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        path = request.url.path
        asked_before = sum(each.url.path == path for each in self.requests) - 1
        script = self.answers[path]
        answer = script[min(asked_before, len(script) - 1)]
        if isinstance(answer, httpx.TransportError):
            answer.request = request
            raise answer
        return answer

    @property
    def transport(self) -> httpx.MockTransport:
        """This service as a transport, for both clients."""
        return httpx.MockTransport(self)

    def client(self) -> Client:
        """Return a client of this service that does not really sleep."""
        return Client("http://service", transport=self.transport, sleep=self.pauses.append)

    def async_client(self) -> AsyncClient:
        """Return an asynchronous client of this service that does not really sleep."""

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        return AsyncClient("http://service", transport=self.transport, sleep=sleep)

    def body(self, number: int = -1) -> Any:  # noqa: ANN401  # JSON
        """Return the JSON of a request."""
        return json.loads(self.requests[number].content)


def refusal(status: int, code: str, detail: object, **headers: str) -> httpx.Response:
    """Return the service's error envelope."""
    return httpx.Response(status, json={"error": code, "detail": detail, "request_id": "r1"}, headers=headers)


def running_then(*detail: dict[str, Any]) -> ScriptedService:
    """Play a job that runs for two polls and then stands as each detail says."""
    ended = [{**SUMMARY, "status": each["status"]} for each in detail]
    return ScriptedService(
        {
            "/jobs/j1/summary": [httpx.Response(200, json=each) for each in (SUMMARY, SUMMARY, *ended)],
            "/jobs/j1": [httpx.Response(200, json=each) for each in detail],
        }
    )
