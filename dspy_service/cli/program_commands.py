"""`dspy-service programs …`: serve what was optimized."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dspy_service.cli.arguments import DEFAULT_URL, ApiKey, BaseUrl, service_at
from dspy_service.client import SubmissionError
from dspy_service.client.served_programs import DeployOptions
from dspy_service.domain.serving.program import PRODUCTION, Alias
from dspy_service.domain.serving.program_views import VersionView

app = typer.Typer(help="Serve what was optimized: versions, and the aliases that callers use.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Of the program.")]
Version = Annotated[int, typer.Argument(min=1, help="Its number.")]
AliasOption = Annotated[str, typer.Option("--alias", help="Which of its aliases.")]
IfRevision = Annotated[
    int | None, typer.Option("--if-revision", min=0, help="Only where you saw it; 0: only if it is new.")
]


@app.command("deploy")
def deploy(
    name: Name,
    job_id: Annotated[str | None, typer.Option("--job", help="A job that ended with a program.")] = None,
    program: Annotated[
        Path | None, typer.Option("--program", exists=True, dir_okay=False, help="Instead: its program.json.")
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option("--metadata", exists=True, dir_okay=False, help="With it: its metadata.json.")
    ] = None,
    pickle: Annotated[
        Path | None,
        typer.Option("--pickle", exists=True, dir_okay=False, help="And its program.pkl, where only code can be it."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="By default the task model of the job.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Make a new version; the first one becomes `production`."""
    options: DeployOptions = {}
    with service_at(url, api_key) as client:
        if job_id is not None:
            options["job_id"] = job_id
        if program is not None:
            options["program"] = _object(program)
        if metadata is not None:
            options["program_metadata"] = _object(metadata)
        if pickle is not None:
            options["program_pickle"] = pickle.read_bytes()
        if model is not None:
            options["model"] = model
        typer.echo(_version_line(client.programs.deploy(name, **options)))


@app.command("list")
def list_programs(url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print each program with its newest version and where its aliases stand."""
    with service_at(url, api_key) as client:
        for program in client.programs.list():
            aliases = "  ".join(f"{alias.name}=v{alias.version}" for alias in program.aliases)
            typer.echo(f"{program.name}  v{program.latest_version}  {aliases}")


@app.command("versions")
def versions(name: Name, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print the newest hundred versions of a program."""
    with service_at(url, api_key) as client:
        for version in client.programs.versions(name, limit=100).data:
            typer.echo(_version_line(version))


@app.command("show")
def show(name: Name, version: Version, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Print everything about a version as JSON."""
    with service_at(url, api_key) as client:
        typer.echo(client.programs.version(name, version).model_dump_json(indent=2))


@app.command("compare")
def compare(
    name: Name,
    before: Version,
    after: Version,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Print what changed between two versions as JSON."""
    with service_at(url, api_key) as client:
        typer.echo(client.programs.compare(name, before, after).model_dump_json(indent=2))


@app.command("move")
def move(
    name: Name,
    version: Version,
    alias: AliasOption = PRODUCTION,
    if_revision: IfRevision = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Point an alias at a version, or make the alias."""
    with service_at(url, api_key) as client:
        typer.echo(_alias_line(name, client.programs.move(name, version, alias=alias, if_revision=if_revision)))


@app.command("rollback")
def rollback(
    name: Name,
    alias: AliasOption = PRODUCTION,
    if_revision: IfRevision = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Point an alias at the version that it named before."""
    with service_at(url, api_key) as client:
        typer.echo(_alias_line(name, client.programs.roll_back(name, alias=alias, if_revision=if_revision)))


@app.command("delete-alias")
def delete_alias(
    name: Name,
    alias: Annotated[str, typer.Argument(help="Not `production`.")],
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Forget an alias; its version stays."""
    with service_at(url, api_key) as client:
        client.programs.delete_alias(name, alias)
    typer.echo(f"{name}@{alias} is forgotten.")


@app.command("retire")
def retire(name: Name, version: Version, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Let no new run use a version."""
    with service_at(url, api_key) as client:
        typer.echo(_version_line(client.programs.retire(name, version)))


@app.command("delete-version")
def delete_version(name: Name, version: Version, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Delete a retired version with its files."""
    with service_at(url, api_key) as client:
        client.programs.delete_version(name, version)
    typer.echo(f"{name}@v{version} is deleted.")


@app.command("delete")
def delete(name: Name, url: BaseUrl = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Delete a program with all its versions; delete its aliases but `production` first."""
    with service_at(url, api_key) as client:
        client.programs.delete(name)
    typer.echo(f"{name} is deleted.")


def _object(path: Path) -> dict[str, object]:
    """Return the JSON object of a file. Raises SubmissionError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # bytes that are no UTF-8 are one too
        found = None
    if not isinstance(found, dict):
        message = f"{path} holds no JSON object."
        raise SubmissionError(message)
    return found


def _version_line(version: VersionView) -> str:
    score = "" if version.optimized_score is None else f"  score {version.optimized_score:.4g}"
    origin = f"  job {version.job_id}" if version.job_id else ""
    return f"{version.program}@v{version.version}  {version.status}  {version.lm.name}{score}{origin}"


def _alias_line(name: str, alias: Alias) -> str:
    return f"{name}@{alias.name} is v{alias.version} (revision {alias.revision})"
