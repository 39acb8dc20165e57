"""An admin makes, lists and revokes the keys of its own tenant."""

from datetime import datetime

import httpx
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import USER_SCOPES, Scope
from tests.unit.api.keyed import header, make_key
from tests.unit.api.payloads import payload


async def test_the_first_key_is_made_in_open_mode_and_ends_it(client: httpx.AsyncClient) -> None:
    before = await client.post("/run", json=payload())

    created = await client.post("/keys", json={"name": "first", "scopes": [scope.value for scope in Scope]})

    after = await client.post("/run", json=payload())
    with_it = await client.get(
        f"/jobs/{before.json()['job_id']}", headers={"authorization": f"Bearer {created.json()['token']}"}
    )
    assert (before.status_code, created.status_code) == (200, 200)
    assert created.json()["tenant"] == "local"
    assert after.status_code == 401
    assert with_it.status_code == 200


async def test_a_revoked_last_key_does_not_open_the_service_again(
    client: httpx.AsyncClient, services: Services
) -> None:
    await make_key(services, revoked=True)

    answer = await client.get("/keys")

    assert answer.status_code == 401


async def test_a_token_is_shown_once(client: httpx.AsyncClient, services: Services) -> None:
    sent = await header(services)

    created = (await client.post("/keys", json={"name": "ci"}, headers=sent)).json()
    listed = await client.get("/keys", headers=sent)

    secret = created["token"].partition(".")[2]
    assert created["token"].startswith(f"dsk_{created['key_id']}.")
    assert created["scopes"] == [scope.value for scope in USER_SCOPES]
    assert [key["name"] for key in listed.json()["data"]] == ["test", "ci"]
    assert secret not in listed.text
    assert "hmac" not in listed.text
    assert "token" not in listed.text


async def test_an_admin_cannot_give_the_sight_of_all_tenants(client: httpx.AsyncClient, services: Services) -> None:
    admin = await header(services, scopes=[*USER_SCOPES, Scope.ADMIN])
    operator = await header(services, scopes=[Scope.ADMIN, Scope.METRICS_READ])
    wanted = {"name": "prometheus", "scopes": ["metrics:read"]}

    refused = await client.post("/keys", json=wanted, headers=admin)
    given = await client.post("/keys", json=wanted, headers=operator)

    assert refused.status_code == 422
    assert refused.json()["detail"][0]["field"] == "scopes"
    assert given.json()["scopes"] == ["metrics:read"]


async def test_a_key_can_expire(client: httpx.AsyncClient, services: Services) -> None:
    sent = await header(services)

    created = (await client.post("/keys", json={"name": "ci", "expires_in_seconds": 3600}, headers=sent)).json()

    lifetime = datetime.fromisoformat(created["expires_at"]) - datetime.fromisoformat(created["created_at"])
    assert lifetime.total_seconds() == 3600


async def test_a_revoked_key_is_closed_from_the_next_request_on(client: httpx.AsyncClient, services: Services) -> None:
    sent, other = await header(services), await make_key(services)
    theirs = {"authorization": f"Bearer {other.token}"}

    before = await client.get("/keys", headers=theirs)
    revoked = await client.delete(f"/keys/{other.key_id}", headers=sent)
    again = await client.delete(f"/keys/{other.key_id}", headers=sent)
    after = await client.get("/keys", headers=theirs)

    assert (before.status_code, revoked.status_code, after.status_code) == (200, 200, 401)
    assert revoked.json() == again.json()
    assert revoked.json()["revoked_at"] is not None


async def test_an_admin_sees_and_closes_nothing_of_another_tenant(
    client: httpx.AsyncClient, services: Services
) -> None:
    sent, foreign = await header(services), await make_key(services, tenant="other")

    listed = await client.get("/keys", headers=sent)
    closed = await client.delete(f"/keys/{foreign.key_id}", headers=sent)

    assert [key["tenant"] for key in listed.json()["data"]] == ["acme"]
    assert (closed.status_code, closed.json()["error"]) == (404, "key_not_found")


async def test_a_key_is_of_its_makers_tenant(client: httpx.AsyncClient, services: Services) -> None:
    sent = await header(services)

    created = await client.post("/keys", json={"name": "ci"}, headers=sent)
    named = await client.post("/keys", json={"name": "ci", "tenant": "other"}, headers=sent)

    assert created.json()["tenant"] == "acme"
    assert named.status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes.0"),
        ({"name": "a", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"name": "a", "expires_in_seconds": 1e12}, "expires_in_seconds"),
        ({"name": "a", "color": "red"}, "color"),
        ([], ""),
    ],
)
async def test_a_wrong_request_names_its_field_and_makes_no_key(
    body: object, field: str, client: httpx.AsyncClient, services: Services
) -> None:
    answer = await client.post("/keys", json=body)

    assert (answer.status_code, answer.json()["error"]) == (422, "invalid_request")
    assert field in [problem["field"] for problem in answer.json()["detail"]]
    assert not await services.keys.any_exists()
