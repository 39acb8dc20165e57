"""`dspy-service …`: runs a role of the platform, or talks to a running one through the SDK.

The role commands import what they need when they are called: a client's installation has no server packages.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dspy_service.client import Client, ClientError, materialize_artifact
from dspy_service.client.answers import JobSummary
from dspy_service.domain.errors import ServiceError
from dspy_service.domain.keys import LOCAL_TENANT, USER_SCOPES, Scope

app = typer.Typer(
    help="Optimize DSPy programs as background jobs.", no_args_is_help=True, pretty_exceptions_enable=False
)

keys_app = typer.Typer(help="Let others in: make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

ApiKey = Annotated[
    str | None,
    typer.Option(envvar="DSPY_SERVICE_API_KEY", show_default=False, help="Better in the environment than typed here."),
]
BaseUrl = Annotated[str, typer.Option("--url", envvar="DSPY_CLIENT_URL", help="Where the service answers.")]
Direct = Annotated[
    bool, typer.Option("--direct", help="Straight at the store, for its operator: the first key, and other tenants'.")
]
Host = Annotated[str | None, typer.Option(help="Instead of DSPY_SERVICE_HOST.")]
JobId = Annotated[str, typer.Argument(help="As `submit` printed it.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of DSPY_SERVICE_PORT; 0 takes a free one.")]
Tenant = Annotated[str, typer.Option(help="Whose key; only with --direct, else that of your own key.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Pass on what the parts log, not only their warnings.")]

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILED = 1
_DAY_SECONDS = 24 * 3600


@contextmanager
def _one_sentence() -> Iterator[None]:
    """End with the error's own sentence, not with a traceback."""
    try:
        yield
    except (ServiceError, ClientError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None


@app.command()
def up(host: Host = None, port: Port = None, *, verbose: Verbose = False) -> None:
    """Run API, workers and embedded Valkey on this machine until Ctrl-C."""
    from dspy_service.up.run import run, settings_for  # noqa: PLC0415 - server packages

    with _one_sentence():
        code = run(settings_for(host=host, port=port, verbose=verbose))
    raise typer.Exit(code)


@app.command()
def api(host: Host = None, port: Port = None, *, verbose: Verbose = False) -> None:
    """Run the HTTP API alone; it needs DSPY_SERVICE_REDIS_URL."""
    from dspy_service.up.roles import become_api  # noqa: PLC0415 - server packages

    with _one_sentence():
        become_api(host=host, port=port, verbose=verbose)


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="Comma-separated.")] = "jobs",
    concurrency: Annotated[int | None, typer.Option(min=1, help="Instead of DSPY_SERVICE_WORKER_CONCURRENCY.")] = None,
    *,
    verbose: Verbose = False,
) -> None:
    """Run one worker process alone; it needs DSPY_SERVICE_REDIS_URL."""
    from dspy_service.up.roles import become_worker  # noqa: PLC0415 - server packages

    with _one_sentence():
        become_worker(queues.split(","), concurrency, verbose=verbose)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Draws the split and the optimizer's choices.")] = 7,
    plot: Annotated[Path, typer.Option(help="Where the score plot goes.")] = Path("artifacts/demo-scores.png"),
) -> None:
    """Run the main job once with the demo model, show how the score rises, and leave nothing running."""
    from dspy_service.client.demo import run_demo  # noqa: PLC0415 - draws with matplotlib
    from dspy_service.up.passing import passing_platform  # noqa: PLC0415 - server packages

    with _one_sentence(), passing_platform() as base_url:
        code = run_demo(base_url, seed=seed, plot_path=plot)
    raise typer.Exit(code)


@app.command()
def submit(
    payload: Annotated[typer.FileText, typer.Argument(help="The JSON body of POST /run; - reads standard input.")],
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Hand in a job and print its id."""
    try:
        body = json.load(payload)
    except ValueError as error:
        typer.echo(f"{payload.name} is not JSON: {error}.", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    with _one_sentence(), Client(url, api_key=api_key) as client:
        typer.echo(client.submit_payload(body).job_id)


@app.command()
def status(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's whole record as JSON."""
    with _one_sentence(), Client(url, api_key=api_key) as client:
        typer.echo(client.status(job_id).model_dump_json(indent=2))


@app.command()
def summary(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's small record as JSON."""
    with _one_sentence(), Client(url, api_key=api_key) as client:
        typer.echo(client.summary(job_id).model_dump_json(indent=2))


@app.command()
def logs(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's log lines, oldest first."""
    with _one_sentence(), Client(url, api_key=api_key) as client:
        for line in client.logs(job_id):
            typer.echo(f"{line.timestamp:%H:%M:%S} {line.level:<7} {line.logger}: {line.message}")


@app.command()
def wait(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Wait until a job ends; the exit code is 0 when it made a program."""
    with _one_sentence(), Client(url, api_key=api_key) as client, _progress_bar() as bar:
        row = bar.add_task("waiting", total=100.0)

        def show(now: JobSummary) -> None:
            percent = now.latest_metrics.get("percent")
            done = percent if isinstance(percent, int | float) else None
            bar.update(row, description=f"{now.status}: {now.message or ''}", completed=done)

        detail = client.wait(job_id, on_progress=show, raise_on_failure=True)
    result = detail.result
    if result is not None:
        scores = " → ".join(_score(score) for score in (result.baseline_test_metric, result.optimized_test_metric))
        typer.echo(f"{detail.status}: {scores}")


@app.command()
def artifact(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option(help="The folder to write; by default ./<job id>.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Save a job's compiled program as the folder that `dspy.load` reads."""
    with _one_sentence(), Client(url, api_key=api_key) as client:
        bundle, folder = client.artifact(job_id), output or Path(job_id)
        try:
            materialize_artifact(bundle, folder)
        except OSError as error:
            typer.echo(
                f"The artifact cannot be written to {folder} ({error.strerror}); choose another --output.", err=True
            )
            raise typer.Exit(EXIT_FAILED) from None
    typer.echo(str(folder))


@keys_app.command("create")
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
    with _one_sentence():
        if direct:
            from dspy_service.up.direct_keys import create_direct  # noqa: PLC0415 - server packages

            created = create_direct(name, tenant=tenant, scopes=wanted, expires_in_seconds=seconds)
        else:
            with Client(url, api_key=api_key) as client:
                created = client.create_key(name, scopes=wanted, expires_in_seconds=seconds)
    typer.echo(f"Key {created.key_id} of tenant {created.tenant}: {', '.join(created.scopes)}.", err=True)
    typer.echo("Keep the token; it is not shown again. Clients read it from DSPY_SERVICE_API_KEY.", err=True)
    typer.echo(created.token)


@keys_app.command("list")
def list_keys(
    url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None, *, direct: Direct = False, tenant: Tenant = LOCAL_TENANT
) -> None:
    """Print the tenant's keys as JSON lines, never a token."""
    with _one_sentence():
        if direct:
            from dspy_service.up.direct_keys import list_direct  # noqa: PLC0415 - server packages

            found = list_direct(tenant)
        else:
            with Client(url, api_key=api_key) as client:
                found = client.keys()
    for key in found:
        typer.echo(key.model_dump_json())


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="As `keys list` shows it: the part between dsk_ and the dot.")],
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    direct: Direct = False,
    tenant: Tenant = LOCAL_TENANT,
) -> None:
    """Close a key for good, from the next request on."""
    with _one_sentence():
        if direct:
            from dspy_service.up.direct_keys import revoke_direct  # noqa: PLC0415 - server packages

            revoked = revoke_direct(key_id, tenant=tenant)
        else:
            with Client(url, api_key=api_key) as client:
                revoked = client.revoke_key(key_id)
    typer.echo(f"Key {revoked.key_id} opens nothing any more.")


def _progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _score(score: float | None) -> str:
    return "no test score" if score is None else f"{score:.4g}"
