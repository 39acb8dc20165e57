"""The application as a server sees it: it starts, serves and closes what it was given."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dspy_service.adapters.memory import MemoryJobStore
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.domain.errors import ConfigurationError
from tests.unit.api.conftest import ADDRESS


class ClosingJobs(MemoryJobStore):
    """Remembers that it was closed."""

    closed = False

    async def aclose(self) -> None:
        self.closed = True


class TestLife:
    @pytest.fixture
    def jobs(self) -> ClosingJobs:
        return ClosingJobs()

    def test_services_are_closed_when_it_stops(self, services: Services, jobs: ClosingJobs) -> None:
        with TestClient(create_app(services), base_url=ADDRESS) as client:
            assert client.get("/health/live").status_code == 200
            assert not jobs.closed

        assert jobs.closed


def test_a_websocket_is_turned_away(services: Services) -> None:
    with TestClient(create_app(services), base_url=ADDRESS) as client, pytest.raises(WebSocketDisconnect):
        client.websocket_connect("/run").__enter__()


def test_without_services_the_settings_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPY_SERVICE_REDIS_URL", "")

    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_REDIS_URL is empty"):
        create_app()


def test_the_document_is_made_once(services: Services) -> None:
    app = create_app(services)

    assert app.openapi() is app.openapi()
