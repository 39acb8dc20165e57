"""An admin reads what signs the messages to its own tenant."""

import httpx

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import USER_SCOPES
from dspy_service.domain.webhook_message import tenant_secret, write_secret
from tests.unit.api.keyed import header


async def test_an_admin_reads_the_secret_of_its_own_tenant(client: httpx.AsyncClient, services: Services) -> None:
    answers = {
        tenant: await client.get("/v1/webhooks/secret", headers=await header(services, tenant=tenant))
        for tenant in ("acme", "other")
    }

    assert {tenant: answer.json() for tenant, answer in answers.items()} == {
        tenant: {"secret": write_secret(tenant_secret(services.secret_key, tenant))} for tenant in answers
    }
    assert {answer.headers["cache-control"] for answer in answers.values()} == {"no-store"}


async def test_in_open_mode_it_is_the_local_tenants(client: httpx.AsyncClient, services: Services) -> None:
    answer = await client.get("/webhooks/secret")

    assert answer.json()["secret"] == write_secret(tenant_secret(services.secret_key, "local"))


async def test_nobody_else_may_read_it(client: httpx.AsyncClient, services: Services) -> None:
    user = await header(services, scopes=USER_SCOPES)

    without_a_key = await client.get("/webhooks/secret")
    without_the_scope = await client.get("/webhooks/secret", headers=user)

    assert (without_a_key.status_code, without_the_scope.status_code) == (401, 403)
    assert "whsec" not in without_a_key.text + without_the_scope.text
