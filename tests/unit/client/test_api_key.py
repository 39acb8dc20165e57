"""A client sends its API key with every request, and makes, lists and revokes others."""

import httpx
import pytest

from dspy_service.client import AsyncClient, Client, NotAllowedError, TooManyRequestsError
from dspy_service.domain.keys import Scope
from tests.unit.client.service import ScriptedService, refusal

KEY = {
    "key_id": "0123456789abcdef",
    "name": "ci",
    "tenant": "acme",
    "scopes": ["jobs:read"],
    "created_at": "2026-01-02T03:04:05.000001Z",
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": None,
}


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService({"/health": [httpx.Response(200, json={"status": "ok"})]})


@pytest.mark.parametrize(
    ("argument", "variable", "sent"),
    [
        ("dsk_a.b", None, "Bearer dsk_a.b"),
        ("dsk_a.b", "dsk_c.d", "Bearer dsk_a.b"),
        (None, "dsk_c.d", "Bearer dsk_c.d"),
        (None, None, None),
        ("", "dsk_c.d", None),
    ],
)
def test_the_argument_wins_over_the_environment(
    argument: str | None,
    variable: str | None,
    sent: str | None,
    service: ScriptedService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DSPY_SERVICE_API_KEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("DSPY_SERVICE_API_KEY", variable)

    with Client("http://service", api_key=argument, transport=service.transport) as client:
        client.health()

    assert service.requests[0].headers.get("authorization") == sent


async def test_the_asynchronous_client_sends_it_too(service: ScriptedService) -> None:
    async with AsyncClient("http://service", api_key="dsk_a.b", transport=service.transport) as client:
        health = await client.health()

    assert service.requests[0].headers["authorization"] == "Bearer dsk_a.b"
    assert health.registered_assets.modules == []


def keeper() -> ScriptedService:
    created = httpx.Response(200, json={**KEY, "token": "dsk_0123456789abcdef.s"})
    listed = httpx.Response(200, json={"object": "list", "data": [KEY], "has_more": False, "last_id": KEY["key_id"]})
    revoked = httpx.Response(200, json={**KEY, "revoked_at": "2026-01-03T00:00:00.000000Z"})
    return ScriptedService({"/keys": [created, listed], "/keys/0123456789abcdef": [revoked]})


def test_keys_are_made_listed_and_revoked() -> None:
    service = keeper()

    with service.client() as client:
        created = client.create_key("ci", scopes=[Scope.JOBS_READ], expires_in_seconds=60)
        [listed] = client.keys()
        revoked = client.revoke_key(created.key_id)

    assert created.token == "dsk_0123456789abcdef.s"  # noqa: S105  # no real one
    assert "dsk_" not in repr(created)
    assert service.body(0) == {"name": "ci", "scopes": ["jobs:read"], "expires_in_seconds": 60}
    assert (listed.name, listed.revoked_at) == ("ci", None)
    assert revoked.revoked_at is not None
    assert [request.method for request in service.requests] == ["POST", "GET", "DELETE"]


async def test_they_are_with_the_asynchronous_client_too() -> None:
    service = keeper()

    async with service.async_client() as client:
        created = await client.create_key("ci")
        listed = await client.keys()
        revoked = await client.revoke_key(created.key_id)

    assert [key.key_id for key in listed] == [created.key_id] == [revoked.key_id]


def test_a_key_is_not_made_twice_because_an_answer_was_lost() -> None:
    service = ScriptedService({"/keys": [refusal(503, "store_unavailable", "Later.")]})

    with service.client() as client, pytest.raises(Exception, match="store_unavailable"):
        client.create_key("ci")

    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthenticated", NotAllowedError),
        (403, "scope_missing", NotAllowedError),
        (429, "quota_exceeded", TooManyRequestsError),
    ],
)
def test_a_closed_door_has_an_error_of_its_own(status: int, code: str, kind: type[Exception]) -> None:
    service = ScriptedService({"/jobs/j1": [refusal(status, code, "Do this.")]})

    with service.client() as client, pytest.raises(kind, match=code):
        client.status("j1")
