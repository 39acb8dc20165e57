"""Commands that ask something of a job."""

import typer

from dspy_service.cli.arguments import DEFAULT_URL, ApiKey, BaseUrl, JobId, service_at
from dspy_service.cli.telling import state_line


def cancel(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """End a job with its best program so far."""
    with service_at(url, api_key) as client:
        typer.echo(state_line(client.cancel(job_id)))


def pause(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Stop a job for a while; nothing is lost, and nothing is paid for twice."""
    with service_at(url, api_key) as client:
        typer.echo(state_line(client.pause(job_id)))


def resume(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Let a paused job go on."""
    with service_at(url, api_key) as client:
        typer.echo(state_line(client.resume(job_id)))


def retry(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Try a failed job again; what its models have answered already costs nothing."""
    with service_at(url, api_key) as client:
        typer.echo(state_line(client.retry(job_id)))


def delete(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Delete an ended job with its events and its program."""
    with service_at(url, api_key) as client:
        client.delete(job_id)
    typer.echo(f"{job_id}  deleted")
