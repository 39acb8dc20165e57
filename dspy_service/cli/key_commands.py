"""`dspy-service keys …`: let others in.

With ``--direct`` they need server packages, and import them then.
"""

from typing import Annotated

import typer

from dspy_service.cli.arguments import DEFAULT_URL, ApiKey, BaseUrl, one_sentence
from dspy_service.client import Client
from dspy_service.domain.keys import LOCAL_TENANT, USER_SCOPES, Scope

app = typer.Typer(help="Let others in: make, list and revoke API keys.", no_args_is_help=True)

Direct = Annotated[
    bool, typer.Option("--direct", help="Straight at the store, for its operator: the first key, and other tenants'.")
]
Tenant = Annotated[str, typer.Option(help="Whose key; only with --direct, else that of your own key.")]

_DAY_SECONDS = 24 * 3600


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="For people, to tell keys apart.")] = "key",
    scopes: Annotated[list[Scope], typer.Option("--scope", help="What it may do; repeat it.")] = list(USER_SCOPES),  # noqa: B006 - Typer reads it, nobody changes it
    days: Annotated[float | None, typer.Option(min=0.001, help="Until it expires; by default never.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    admin: Annotated[bool, typer.Option("--admin", help="It may also make and revoke keys.")] = False,
    direct: Direct = False,
    tenant: Tenant = LOCAL_TENANT,
) -> None:
    """Make an API key and print its token, this once."""
    wanted = [*scopes, *([Scope.ADMIN] if admin else [])]
    seconds = None if days is None else days * _DAY_SECONDS
    with one_sentence():
        if direct:
            from dspy_service.up.direct_keys import create_direct  # noqa: PLC0415 - server packages

            created = create_direct(name, tenant=tenant, scopes=wanted, expires_in_seconds=seconds)
        else:
            with Client(url, api_key=api_key) as client:
                created = client.create_key(name, scopes=wanted, expires_in_seconds=seconds)
    typer.echo(f"Key {created.key_id} of tenant {created.tenant}: {', '.join(created.scopes)}.", err=True)
    typer.echo("Keep the token; it is not shown again. Clients read it from DSPY_SERVICE_API_KEY.", err=True)
    typer.echo(created.token)


@app.command("list")
def list_keys(
    url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None, *, direct: Direct = False, tenant: Tenant = LOCAL_TENANT
) -> None:
    """Print the tenant's keys as JSON lines, never a token."""
    with one_sentence():
        if direct:
            from dspy_service.up.direct_keys import list_direct  # noqa: PLC0415 - server packages

            found = list_direct(tenant)
        else:
            with Client(url, api_key=api_key) as client:
                found = client.keys()
    for key in found:
        typer.echo(key.model_dump_json())


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it: the part between dsk_ and the dot.")],
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    direct: Direct = False,
    tenant: Tenant = LOCAL_TENANT,
) -> None:
    """Close a key for good, from the next request on."""
    with one_sentence():
        if direct:
            from dspy_service.up.direct_keys import revoke_direct  # noqa: PLC0415 - server packages

            revoked = revoke_direct(key_id, tenant=tenant)
        else:
            with Client(url, api_key=api_key) as client:
                revoked = client.revoke_key(key_id)
    typer.echo(f"Key {revoked.key_id} opens nothing any more.")
