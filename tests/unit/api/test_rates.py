"""Callers with keys have their share of requests and of unfinished jobs; open mode has no limits."""

import httpx
import pytest

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings
from tests.support import working
from tests.unit.api.conftest import ADDRESS
from tests.unit.api.keyed import header
from tests.unit.api.payloads import payload


class TestPerKey:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(key_requests_per_minute=3, address_requests_per_minute=0)

    async def test_one_key_too_often_waits_and_another_does_not(
        self, client: httpx.AsyncClient, services: Services
    ) -> None:
        eager, calm = await header(services), await header(services)

        answers = [await client.get("/keys", headers=eager) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[3].json()["error"] == "rate_limited"
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert (await client.get("/keys", headers=calm)).status_code == 200

    async def test_open_mode_has_no_limit(self, client: httpx.AsyncClient) -> None:
        answers = [await client.get("/keys") for _ in range(10)]

        assert {answer.status_code for answer in answers} == {200}


class TestPerAddress:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(key_requests_per_minute=0, address_requests_per_minute=3)

    async def test_guessing_is_limited_before_the_key_is_looked_at(
        self, client: httpx.AsyncClient, services: Services
    ) -> None:
        good = await header(services)
        guess = {"authorization": "Bearer dsk_0123456789abcdef." + "a" * 43}

        guesses = [await client.get("/keys", headers=guess) for _ in range(4)]

        assert [answer.status_code for answer in guesses] == [401, 401, 401, 429]
        assert (await client.get("/keys", headers=good)).status_code == 429

    @pytest.mark.parametrize(
        ("first", "second", "shared"),
        [
            ("203.0.113.7", "203.0.113.8", 0),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", 1),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", 0),
            ("203.0.113.7", "::ffff:203.0.113.7", 1),
        ],
    )
    async def test_an_ipv6_network_counts_as_one(
        self, first: str, second: str, shared: int, services: Services
    ) -> None:
        sent = await header(services)
        statuses = []
        for address in (first, first, first, second):
            transport = httpx.ASGITransport(create_app(services), client=(address, 50_000))
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as remote:
                statuses.append((await remote.get("/keys", headers=sent)).status_code)

        assert statuses == [200, 200, 200, 429 if shared else 200]


class TestQuota:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(tenant_jobs=2)

    async def test_a_tenant_has_its_share_of_unfinished_jobs(
        self, client: httpx.AsyncClient, services: Services
    ) -> None:
        mine, theirs = await header(services), await header(services, tenant="other")

        answers = [await client.post("/run", json=payload(), headers=mine) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["error"] == "quota_exceeded"
        assert (await client.post("/run", json=payload(), headers=theirs)).status_code == 200

    async def test_a_retry_needs_a_share_too(
        self, client: httpx.AsyncClient, services: Services, jobs: MemoryJobStore
    ) -> None:
        mine = await header(services)
        failed = (await client.post("/run", json=payload(), headers=mine)).json()["job_id"]
        await working.fail(jobs, failed, await working.start(jobs, failed))
        for _ in range(2):
            await client.post("/run", json=payload(), headers=mine)

        answer = await client.post(f"/jobs/{failed}/retry", headers=mine)

        assert (answer.status_code, answer.json()["error"]) == (429, "quota_exceeded")
        assert (await client.get(f"/jobs/{failed}/summary", headers=mine)).json()["status"] == "failed"

    async def test_open_mode_has_no_quota(self, client: httpx.AsyncClient) -> None:
        answers = [await client.post("/run", json=payload()) for _ in range(4)]

        assert {answer.status_code for answer in answers} == {200}
