"""A service for this machine only listens to this machine's programs, not to web pages."""

import httpx
import pytest

from dspy_service.config import Settings
from tests.unit.api.payloads import payload


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
async def test_loopback_hosts_are_served(host: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1"])
async def test_other_hosts_are_refused(host: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"host": host})

    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert "DSPY_SERVICE_HOST" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[::1"])
async def test_a_foreign_page_cannot_submit(origin: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(), headers={"origin": origin})

    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


async def test_our_own_page_can_submit(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(), headers={"origin": "http://127.0.0.1:8000"})

    assert answer.status_code == 200


class TestWithAPublicAddress:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(host="0.0.0.0")  # noqa: S104  # nothing listens here

    async def test_other_hosts_are_served(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/health/live", headers={"host": "api.example"})

        assert answer.status_code == 200

    async def test_this_machines_endpoints_are_not_called(self, client: httpx.AsyncClient) -> None:
        model = {"name": "openai/x", "base_url": "http://127.0.0.1:9/v1"}

        answer = await client.post("/run", json=payload(model_config=model))

        assert answer.status_code == 400
        assert "not an endpoint that this service may call" in answer.json()["detail"]
