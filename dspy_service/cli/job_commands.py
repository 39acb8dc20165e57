"""Commands that take a job from its submission to its program."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dspy_service.cli.arguments import DEFAULT_URL, EXIT_FAILED, ApiKey, BaseUrl, JobId, service_at
from dspy_service.cli.telling import event_line
from dspy_service.client import materialize_artifact
from dspy_service.client.answers import JobSummary
from dspy_service.domain.job import JobStatus


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
    with service_at(url, api_key) as client:
        typer.echo(client.submit_payload(body).job_id)


def wait(job_id: JobId, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Wait until a job ends; the exit code is 0 when it made a program."""
    with service_at(url, api_key) as client, _progress_bar() as bar:
        row = bar.add_task("waiting", total=100.0)

        def show(now: JobSummary) -> None:
            percent = now.latest_metrics.get("percent")
            done = percent if isinstance(percent, int | float) else None
            bar.update(row, description=f"{now.status}: {now.waiting_detail or now.message or ''}", completed=done)

        detail = client.wait(job_id, on_progress=show, raise_on_failure=True)
    result = detail.result
    if result is not None:
        scores = " → ".join(_score(score) for score in (result.baseline_test_metric, result.optimized_test_metric))
        typer.echo(f"{detail.status}: {scores}")


def watch(
    job_id: JobId,
    after: Annotated[int, typer.Option(min=0, help="Start behind this number.")] = 0,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One event as JSON a line, for programs.")] = False,
) -> None:
    """Print a job's events as they happen, until it ends; the exit code is 0 when it made a program."""
    with service_at(url, api_key) as client:
        for event in client.watch(job_id, after=after):
            typer.echo(event.model_dump_json() if as_json else event_line(event))
        status = client.summary(job_id).status
    if status is not JobStatus.SUCCESS:
        raise typer.Exit(EXIT_FAILED)


def artifact(
    job_id: JobId,
    output: Annotated[Path | None, typer.Option(help="The folder to write; by default ./<job id>.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Save a job's compiled program as the folder that `dspy.load` reads."""
    with service_at(url, api_key) as client:
        bundle, folder = client.artifact(job_id), output or Path(job_id)
        try:
            materialize_artifact(bundle, folder)
        except OSError as error:
            typer.echo(
                f"The artifact cannot be written to {folder} ({error.strerror}); choose another --output.", err=True
            )
            raise typer.Exit(EXIT_FAILED) from None
    typer.echo(str(folder))


def artifact_file(
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="program.pkl, program.json, metadata.json, result.json or events.jsonl.")],
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Print one file of an ended job."""
    with service_at(url, api_key) as client:
        typer.echo(client.artifact_file(job_id, name), nl=False)


def _progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _score(score: float | None) -> str:
    return "no test score" if score is None else f"{score:.4g}"
