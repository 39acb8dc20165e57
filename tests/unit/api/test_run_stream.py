"""A run is told as it happens, and a reader hears that it goes on."""

from collections.abc import AsyncIterator

import pytest
from fastapi import Request

from dspy_service.api.dialects.v1 import V1
from dspy_service.api.run_stream import run_stream
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.domain.serving.run import Run
from tests.support.run_samples import COMPLETED, completed, in_progress, queued, taken, the_final


@pytest.fixture
def request_(services: Services) -> Request:
    app = create_app(services)
    return Request({"type": "http", "method": "GET", "app": app, "state": {"request_id": "r1"}, "headers": []})


async def told(run: Run, request: Request, services: Services, *, ping_seconds: float) -> AsyncIterator[str]:
    """Yield the names of messages, as they come."""
    response = run_stream(run, V1(run.run_id), request=request, services=services, ping_seconds=ping_seconds)
    assert response.headers["x-run-id"] == run.run_id
    async for part in response.body_iterator:
        for message in bytes(part).decode().split("\n\n"):
            names = [line.removeprefix("event: ") for line in message.split("\n") if line.startswith("event: ")]
            for name in names:
                yield name


async def test_a_reader_is_told_that_a_run_waits_and_then_that_it_ends(request_: Request, services: Services) -> None:
    run = await queued(services.runs)
    messages = told(run, request_, services, ping_seconds=0.01)

    before = [await anext(messages) for _ in range(4)]
    fence = (await taken(services.runs, run)).fence
    await services.runs.finish(run.run_id, fence=fence, outcome=COMPLETED, facts=[the_final("blue")])
    after = [name async for name in messages if name != "ping"]

    assert before == ["start", "ping", "ping", "ping"]
    assert after == ["final", "end"]


async def test_an_open_stream_is_counted(request_: Request, services: Services) -> None:
    run = await in_progress(services.runs)
    messages = told(run, request_, services, ping_seconds=0.01)

    await anext(messages)

    assert request_.app.state.open_streams.count == 1
    await services.runs.aclose()
    assert {name async for name in messages} <= {"ping"}
    assert request_.app.state.open_streams.count == 0


@pytest.mark.parametrize(("method", "head"), [("GET", "retry: 1500\nid: 1\n"), ("POST", "id: 1\n")])
async def test_no_block_is_without_data_and_only_a_browser_hears_when_to_come_back(
    request_: Request, services: Services, method: str, head: str
) -> None:
    run = await completed(services.runs)
    request_.scope["method"] = method

    response = run_stream(run, V1(run.run_id), request=request_, services=services)

    text = b"".join([bytes(part) async for part in response.body_iterator]).decode()
    blocks = text.removesuffix("\n\n").split("\n\n")
    assert text.startswith(head)
    assert all("\ndata: {" in block for block in blocks)
