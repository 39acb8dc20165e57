"""The program and its commands, in the order in which `--help` lists them."""

import typer

from dspy_service.cli import (
    chat_command,
    job_commands,
    key_commands,
    program_commands,
    reading_commands,
    role_commands,
    steering_commands,
    usage_commands,
)

app = typer.Typer(
    help="Optimize DSPy programs as background jobs.", no_args_is_help=True, pretty_exceptions_enable=False
)

for command in (
    role_commands.up,
    role_commands.api,
    role_commands.worker,
    role_commands.demo,
    job_commands.submit,
    job_commands.wait,
    job_commands.watch,
    job_commands.artifact,
    job_commands.artifact_file,
    steering_commands.cancel,
    steering_commands.pause,
    steering_commands.resume,
    steering_commands.retry,
    steering_commands.delete,
    reading_commands.status,
    reading_commands.summary,
    reading_commands.logs,
    reading_commands.usage,
    reading_commands.health,
    reading_commands.webhook_secret,
    chat_command.chat,
):
    app.command()(command)
app.command("list")(reading_commands.list_jobs)
program_commands.app.command("usage")(usage_commands.served)
app.add_typer(program_commands.app, name="programs")
app.add_typer(key_commands.app, name="keys")
