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

app = typer.Typer(
    help="Optimize DSPy programs as background jobs.", no_args_is_help=True, pretty_exceptions_enable=False
)

BaseUrl = Annotated[str, typer.Option("--url", envvar="DSPY_CLIENT_URL", help="Where the service answers.")]
Host = Annotated[str | None, typer.Option(help="Instead of DSPY_SERVICE_HOST.")]
JobId = Annotated[str, typer.Argument(help="As `submit` printed it.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of DSPY_SERVICE_PORT; 0 takes a free one.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Pass on what the parts log, not only their warnings.")]

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILED = 1


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
) -> None:
    """Hand in a job and print its id."""
    try:
        body = json.load(payload)
    except ValueError as error:
        typer.echo(f"{payload.name} is not JSON: {error}.", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    with _one_sentence(), Client(url) as client:
        typer.echo(client.submit_payload(body).job_id)


@app.command()
def status(job_id: JobId, url: BaseUrl = DEFAULT_URL) -> None:
    """Print a job's whole record as JSON."""
    with _one_sentence(), Client(url) as client:
        typer.echo(client.status(job_id).model_dump_json(indent=2))


@app.command()
def summary(job_id: JobId, url: BaseUrl = DEFAULT_URL) -> None:
    """Print a job's small record as JSON."""
    with _one_sentence(), Client(url) as client:
        typer.echo(client.summary(job_id).model_dump_json(indent=2))


@app.command()
def logs(job_id: JobId, url: BaseUrl = DEFAULT_URL) -> None:
    """Print a job's log lines, oldest first."""
    with _one_sentence(), Client(url) as client:
        for line in client.logs(job_id):
            typer.echo(f"{line.timestamp:%H:%M:%S} {line.level:<7} {line.logger}: {line.message}")


@app.command()
def wait(job_id: JobId, url: BaseUrl = DEFAULT_URL) -> None:
    """Wait until a job ends; the exit code is 0 when it made a program."""
    with _one_sentence(), Client(url) as client, _progress_bar() as bar:
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
) -> None:
    """Save a job's compiled program as the folder that `dspy.load` reads."""
    with _one_sentence(), Client(url) as client:
        bundle, folder = client.artifact(job_id), output or Path(job_id)
        try:
            materialize_artifact(bundle, folder)
        except OSError as error:
            typer.echo(
                f"The artifact cannot be written to {folder} ({error.strerror}); choose another --output.", err=True
            )
            raise typer.Exit(EXIT_FAILED) from None
    typer.echo(str(folder))


def _progress_bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _score(score: float | None) -> str:
    return "no test score" if score is None else f"{score:.4g}"
