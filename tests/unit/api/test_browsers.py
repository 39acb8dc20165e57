"""What browsers are told: which pages may call, and to be careful with every answer."""

import httpx
import pytest

from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.config import Settings, load_settings
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from tests.unit.api.conftest import ADDRESS
from tests.unit.api.keyed import header
from tests.unit.api.test_errors import client_of

CAREFUL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "frame-ancestors 'none'",
    "cache-control": "no-store",
}
PAGE = "https://app.example"
PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/run", 405),
        ("POST", "/run", 422),
    ],
)
async def test_every_answer_is_careful(method: str, path: str, status: int, client: httpx.AsyncClient) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in CAREFUL} == CAREFUL
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("error", [RuntimeError("unexpected"), StoreUnavailableError("job store")])
async def test_the_answer_to_a_fault_of_ours_is_careful_too(error: Exception) -> None:
    async with client_of(error) as broken:
        answer = await broken.get("/jobs/01890a5d-ac96-774b-bcce-b302099a8057")

    assert answer.status_code >= 500
    assert {name: answer.headers.get(name) for name in CAREFUL} == CAREFUL


async def test_no_page_may_call_unless_it_is_named(client: httpx.AsyncClient, services: Services) -> None:
    sent = await header(services)

    preflight = await client.options("/run", headers=PREFLIGHT)
    answer = await client.get("/keys", headers={**sent, "origin": PAGE})

    assert preflight.status_code == 405
    assert not [name for name in (*preflight.headers, *answer.headers) if name.startswith("access-control")]


class TestWithAPage:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings.model_construct(cors_origins=(PAGE,))

    async def test_the_named_page_may_call(self, client: httpx.AsyncClient, services: Services) -> None:
        sent = await header(services)

        preflight = await client.options("/run", headers=PREFLIGHT)
        answer = await client.get("/keys", headers={**sent, "origin": PAGE})

        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "access-control-allow-credentials" not in {*preflight.headers, *answer.headers}

    async def test_the_named_page_may_move_an_alias_from_where_it_saw_it(self, client: httpx.AsyncClient) -> None:
        asked = {"origin": PAGE, "access-control-request-method": "PUT", "access-control-request-headers": "if-match"}

        preflight = await client.options("/programs/answers/aliases/production", headers=asked)
        answer = await client.get("/programs", headers={"origin": PAGE})

        assert preflight.status_code == 200
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        assert "etag" in answer.headers["access-control-expose-headers"]

    async def test_another_page_may_not(self, client: httpx.AsyncClient, services: Services) -> None:
        sent = await header(services)

        preflight = await client.options("/run", headers={**PREFLIGHT, "origin": "https://evil.example"})
        answer = await client.get("/keys", headers={**sent, "origin": "https://evil.example"})

        assert preflight.status_code == 400
        assert "access-control-allow-origin" not in {*preflight.headers, *answer.headers}

    async def test_the_named_page_may_call_in_open_mode(self, client: httpx.AsyncClient) -> None:
        named = await client.get("/keys", headers={"origin": PAGE})
        other = await client.get("/keys", headers={"origin": "https://evil.example"})

        assert (named.status_code, other.status_code) == (200, 403)


@pytest.mark.parametrize("value", ["*", "https://*.example", "app.example", f"{PAGE},*"])
def test_a_star_is_refused_at_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_CORS_ORIGINS", value)

    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_CORS_ORIGINS is"):
        load_settings(None)


async def test_the_documentation_can_be_switched_off(services: Services) -> None:
    hidden = Services(**{**vars(services), "settings": Settings.model_construct(docs=False)})
    transport = httpx.ASGITransport(create_app(hidden))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        statuses = [(await client.get(path)).status_code for path in ("/docs", "/openapi.json", "/docs-assets/x")]

    assert statuses == [404, 404, 404]
