"""Commands that run a part of the platform.

They import what they need when they are called: a client's installation has no server packages.
"""

from pathlib import Path
from typing import Annotated

import typer

from dspy_service.cli.arguments import Verbose, one_sentence

Host = Annotated[str | None, typer.Option(help="Instead of DSPY_SERVICE_HOST.")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Instead of DSPY_SERVICE_PORT; 0 takes a free one.")]


def up(host: Host = None, port: Port = None, *, verbose: Verbose = False) -> None:
    """Run API, workers and embedded Valkey on this machine until Ctrl-C."""
    from dspy_service.up.run import run, settings_for  # noqa: PLC0415 - server packages

    with one_sentence():
        code = run(settings_for(host=host, port=port, verbose=verbose))
    raise typer.Exit(code)


def api(host: Host = None, port: Port = None, *, verbose: Verbose = False) -> None:
    """Run the HTTP API alone; it needs DSPY_SERVICE_REDIS_URL."""
    from dspy_service.up.roles import become_api  # noqa: PLC0415 - server packages

    with one_sentence():
        become_api(host=host, port=port, verbose=verbose)


def worker(
    queues: Annotated[str, typer.Option(help="Of `jobs` and `serving`, comma-separated.")] = "jobs",
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Instead of DSPY_SERVICE_WORKER_CONCURRENCY; processes, for `serving` alone."),
    ] = None,
    *,
    verbose: Verbose = False,
) -> None:
    """Run one worker process alone; it needs DSPY_SERVICE_REDIS_URL."""
    from dspy_service.up.roles import become_worker  # noqa: PLC0415 - server packages

    with one_sentence():
        become_worker([name.strip() for name in queues.split(",")], concurrency, verbose=verbose)


def demo(
    seed: Annotated[int, typer.Option(help="Draws the split and the optimizer's choices.")] = 7,
    plot: Annotated[Path, typer.Option(help="Where the score plot goes.")] = Path("artifacts/demo-scores.png"),
) -> None:
    """Run the main job once with the demo model, show how the score rises, and leave nothing running."""
    from dspy_service.client.demo import run_demo  # noqa: PLC0415 - draws with matplotlib
    from dspy_service.up.passing import passing_platform  # noqa: PLC0415 - server packages

    with one_sentence(), passing_platform() as base_url:
        code = run_demo(base_url, seed=seed, plot_path=plot)
    raise typer.Exit(code)
