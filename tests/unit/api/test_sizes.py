"""A body is stopped as soon as it is too large, too deep or too wide, and never held for longer."""

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from tests.unit.api.keyed import make_key
from tests.unit.api.payloads import payload

CAP = 200_000
ROWS = payload()["dataset"]


@pytest.fixture
def settings() -> Settings:
    return Settings.model_construct(
        max_body_bytes=CAP, max_rows=100, max_row_keys=5, max_field_bytes=1_000, max_json_depth=8
    )


async def in_chunks(data: bytes, size: int = 1_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize(("over", "status"), [(0, 422), (1, 413)])
async def test_one_byte_over_the_cap_without_a_length_is_too_large(
    over: int, status: int, client: httpx.AsyncClient
) -> None:
    answer = await client.post("/run", content=in_chunks(b" " * (CAP + over)))

    assert "content-length" not in answer.request.headers
    assert answer.status_code == status


async def test_an_endless_body_is_left_unread(services: Services) -> None:
    app = create_app(services)
    chunk = b"x" * 10_000
    received, statuses = [], []

    async def receive() -> Message:
        received.append(1)
        return {"type": "http.request", "body": bytes(chunk), "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/run",
        "raw_path": b"/run",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    tracemalloc.start()
    await app(scope, receive, send)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert statuses == [413]
    assert len(received) == CAP // len(chunk) + 1
    assert peak_bytes < 5 * CAP + 5_000_000


async def test_a_caller_without_a_key_is_turned_away_before_its_body_is_read(
    client: httpx.AsyncClient, services: Services
) -> None:
    await make_key(services)

    answer = await client.post("/run", content=b"x" * (CAP + 1))

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"dataset": ROWS * 6}, "dataset", "has 120 rows; at most 100"),
        ({"dataset": [*ROWS, {f"c{i}": 1 for i in range(6)}]}, "dataset.20", "has 6 columns; at most 5"),
        ({"dataset": [*ROWS, {"q": "x" * 1_001, "a": "y"}]}, "dataset.20.q", "is larger than 1000 bytes"),
        ({"dataset": [*ROWS, {"q": "ä" * 501, "a": "y"}]}, "dataset.20.q", "is larger than 1000 bytes"),
        ({"dataset": [*ROWS, {"q": ["x"] * 400, "a": "y"}]}, "dataset.20.q", "is larger than 1000 bytes"),
        ({"metadata": {"a": [[[[[[[[1]]]]]]]]}}, "metadata.a.0.0.0.0.0.0", "is nested deeper than 8 levels"),
    ],
    ids=["rows", "columns", "text", "wide text", "list", "depth"],
)
async def test_what_is_too_much_is_named(
    change: dict[str, Any], field: str, says: str, client: httpx.AsyncClient, jobs: MemoryJobStore
) -> None:
    answer = await client.post("/run", json=payload(**change))

    [problem] = answer.json()["detail"]
    assert (answer.status_code, problem["field"]) == (422, field)
    assert says in problem["message"]
    assert jobs._records == {}


async def test_what_is_just_enough_is_accepted(client: httpx.AsyncClient) -> None:
    rows = [*ROWS * 4, {"q": "x" * 1_000, "a": "y", "b": 1, "c": 2, "d": 3}]

    answer = await client.post("/run", json=payload(dataset=rows))

    assert answer.status_code == 200, answer.text
