"""Arguments that several commands share, and how a command ends when something is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from dspy_service.client import Client, ClientError
from dspy_service.domain.errors import ServiceError

ApiKey = Annotated[
    str | None,
    typer.Option(envvar="DSPY_SERVICE_API_KEY", show_default=False, help="Better in the environment than typed here."),
]
BaseUrl = Annotated[str, typer.Option("--url", envvar="DSPY_CLIENT_URL", help="Where the service answers.")]
JobId = Annotated[str, typer.Argument(help="As `submit` printed it.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Pass on what the parts log, not only their warnings.")]

DEFAULT_URL = "http://127.0.0.1:8000"
EXIT_FAILED = 1


@contextmanager
def one_sentence() -> Iterator[None]:
    """End with the error's own sentence, not with a traceback."""
    try:
        yield
    except (ServiceError, ClientError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None


@contextmanager
def service_at(url: str, api_key: str | None) -> Iterator[Client]:
    """Open a client; what goes wrong is one sentence."""
    with one_sentence(), Client(url, api_key=api_key) as client:
        yield client
