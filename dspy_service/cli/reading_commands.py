"""Commands that show jobs."""

from typing import Annotated

import typer

from dspy_service.cli.arguments import DEFAULT_URL, EXIT_FAILED, ApiKey, BaseUrl, JobId, service_at
from dspy_service.cli.telling import job_line, usage_lines
from dspy_service.client.options import ListOptions
from dspy_service.domain.job import JobStatus

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def list_jobs(
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in this state.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Only jobs with this optimizer.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="Only jobs with this key=value; repeat it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most jobs to show.")] = 20,
    after: Annotated[str | None, typer.Option(help="Go on behind this job.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    as_json: Json = False,
) -> None:
    """List your jobs, newest first."""
    options: ListOptions = {"limit": limit, "metadata": _pairs(metadata or [])}
    if status is not None:
        options["status"] = status
    if optimizer is not None:
        options["optimizer"] = optimizer
    if after is not None:
        options["after"] = after
    with service_at(url, api_key) as client:
        page = client.jobs(**options)
    for job in page.data:
        typer.echo(job.model_dump_json() if as_json else job_line(job))
    if page.has_more:
        typer.echo(f"There are more: --after {page.last_id}", err=True)


def status(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's whole record as JSON."""
    with service_at(url, api_key) as client:
        typer.echo(client.status(job_id).model_dump_json(indent=2))


def summary(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's small record as JSON."""
    with service_at(url, api_key) as client:
        typer.echo(client.summary(job_id).model_dump_json(indent=2))


def logs(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print a job's log lines, oldest first."""
    with service_at(url, api_key) as client:
        for line in client.logs(job_id):
            typer.echo(f"{line.timestamp:%H:%M:%S} {line.level:<7} {line.logger}: {line.message}")


def usage(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None, *, as_json: Json = False) -> None:
    """Print what a job's language models have cost so far."""
    with service_at(url, api_key) as client:
        found = client.usage(job_id)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    for line in usage_lines(found):
        typer.echo(line)


def health(url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print the state of the service as JSON; the exit code is 0 when a job submitted now would be taken."""
    with service_at(url, api_key) as client:
        found = client.health()
    typer.echo(found.model_dump_json(indent=2))
    if not found.is_ok:
        raise typer.Exit(EXIT_FAILED)


def webhook_secret(url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print what your webhooks are signed with; it needs a key with the scope `admin`."""
    with service_at(url, api_key) as client:
        typer.echo(client.webhook_secret())


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if not all(key and equals for key, equals, _ in pairs):
        typer.echo("Write --metadata as key=value.", err=True)
        raise typer.Exit(EXIT_FAILED)
    return {key: value for key, _, value in pairs}
