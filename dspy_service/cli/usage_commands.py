"""`dspy-service programs usage`: what serving has cost."""

from datetime import datetime
from typing import Annotated, Literal

import typer

from dspy_service.cli.arguments import DEFAULT_URL, ApiKey, BaseUrl, service_at
from dspy_service.cli.telling import serving_usage_lines
from dspy_service.client.served_runs import UsageOptions

_DAY = ["%Y-%m-%d"]


def served(
    program: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Only those with this number.")] = None,
    key_id: Annotated[str | None, typer.Option("--key", help="Only what was called with this key.")] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="First day, by UTC.")] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day; without both, the last thirty.")
    ] = None,
    group_by: Annotated[Literal["program", "version", "key", "day"], typer.Option("--by")] = "version",
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Print how many runs have ended, and what they cost."""
    options: UsageOptions = {"group_by": group_by}
    if program is not None:
        options["program"] = program
    if version is not None:
        options["version"] = version
    if key_id is not None:
        options["key_id"] = key_id
    if first is not None:
        options["first"] = first.date()
    if last is not None:
        options["last"] = last.date()
    with service_at(url, api_key) as client:
        found = client.runs.usage(**options)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    for line in serving_usage_lines(found):
        typer.echo(line)
