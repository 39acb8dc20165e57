"""Without a key, a service listens to this machine's programs, not to web pages and not to other machines."""

import httpx
import pytest
from starlette.testclient import TestClient

from dspy_service.adapters.memory import MemoryKeyStore
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from tests.unit.api.conftest import ADDRESS
from tests.unit.api.keyed import header, make_key
from tests.unit.api.payloads import payload


class KeysAway(MemoryKeyStore):
    """A store that does not answer."""

    async def any_exists(self) -> bool:
        raise StoreUnavailableError("job store")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
async def test_loopback_hosts_are_served(host: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/keys", headers={"host": host})

    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1", "0x7f.1"])
async def test_other_hosts_are_refused(host: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/keys", headers={"host": host})

    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert "dspy-service keys create" in answer.json()["detail"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://[::1", ""])
async def test_a_foreign_page_cannot_submit(origin: str, client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(), headers={"origin": origin})

    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


async def test_our_own_page_can_submit(client: httpx.AsyncClient) -> None:
    answer = await client.post("/run", json=payload(), headers={"origin": "http://127.0.0.1:8000"})

    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"])
async def test_what_came_through_a_proxy_is_refused(name: str, client: httpx.AsyncClient) -> None:
    answer = await client.get("/keys", headers={name: "127.0.0.1"})

    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


@pytest.mark.parametrize("address", ["10.0.0.9", "172.18.0.1", "203.0.113.7", "2001:db8::1", "::ffff:10.0.0.1"])
async def test_another_machine_is_refused_whatever_host_it_names(address: str, services: Services) -> None:
    transport = httpx.ASGITransport(create_app(services), client=(address, 50_000))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as remote:
        submitted = await remote.post("/run", json=payload())
        health = await remote.get("/health")

    assert (submitted.status_code, submitted.json()["error"]) == (403, "forbidden")
    assert set(health.json()) == {"status", "sandbox", "error", "detail", "request_id"}


async def test_with_a_key_another_machine_is_served(services: Services) -> None:
    sent = await header(services)
    transport = httpx.ASGITransport(create_app(services), client=("203.0.113.7", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="https://api.example") as remote:
        answer = await remote.post("/run", json=payload(), headers=sent)

    assert answer.status_code == 200


async def test_once_a_key_exists_this_machines_models_are_out_of_reach(
    client: httpx.AsyncClient, services: Services
) -> None:
    model = {"name": "openai/x", "base_url": "http://127.0.0.1:9/v1"}
    before = await client.post("/run", json=payload(model_config=model))

    after = await client.post("/run", json=payload(model_config=model), headers=await header(services))

    assert (before.status_code, after.status_code) == (200, 400)
    assert "not an endpoint that this service may call" in after.json()["detail"]


class TestWithAPublicAddress:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(host="0.0.0.0")  # noqa: S104  # nothing listens here

    def test_it_does_not_start_without_a_key(self, services: Services) -> None:
        with (
            pytest.raises(ConfigurationError, match="no API key exists; create one with `dspy-service keys create"),
            TestClient(create_app(services)),
        ):
            pass

    async def test_a_store_that_is_away_at_the_start_lets_nobody_in(self, services: Services) -> None:
        app = create_app(Services(**{**vars(services), "keys": KeysAway()}))
        transport = httpx.ASGITransport(app)

        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client,
        ):
            answer = await client.get("/keys")

        assert (answer.status_code, answer.json()["error"]) == (503, "store_unavailable")

    async def test_it_serves_nobody_without_a_key_either(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/run", json=payload())

        assert answer.status_code == 401
        assert "dspy-service keys create --direct" in answer.json()["detail"]

    async def test_with_a_key_it_starts_and_serves_every_host(self, services: Services) -> None:
        key = await make_key(services)

        with TestClient(create_app(services)) as started:
            answer = started.get("/keys", headers={"authorization": f"Bearer {key.token}", "host": "api.example"})

        assert answer.status_code == 200
