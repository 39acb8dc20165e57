"""`dspy-service chat PROGRAM`: a conversation with a served program in the terminal."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Annotated, cast

import typer

from dspy_service.cli.answer_text import AnswerText
from dspy_service.cli.arguments import DEFAULT_URL, EXIT_FAILED, ApiKey, BaseUrl, service_at
from dspy_service.client import ApiError, Client
from dspy_service.client.served_chat import ChatOptions
from dspy_service.domain.serving.chat_fields import ChatFields, chat_fields
from dspy_service.domain.serving.run_events import Ended, Failed, RunFact, Started

_PROMPT = "> "
_NEW, _QUIT = "/new", "/quit"
_HINT = f"{_NEW} starts another conversation, {_QUIT} ends; Ctrl-C stops an answer."
_EXIT_STOPPED = 130
"""As shells report a program that Ctrl-C ended."""


def chat(
    program: Annotated[str, typer.Argument(help="`name`, `name@alias` or `name@v3`.")],
    conversation: Annotated[
        str | None, typer.Option("--conversation", help="Go on with this one; by default a new one begins.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Whose conversation it is, of your users.")] = None,
    url: BaseUrl = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Talk with a program; each line that comes from a pipe or a file is a message."""
    is_terminal = sys.stdin.isatty()
    with service_at(url, api_key) as client:
        client.programs.get(program.partition("@")[0])
        talk = _Talk(client, program, user, conversation, is_terminal=is_terminal)
        if is_terminal:
            typer.echo(_HINT, err=True)
        for message in _typed() if is_terminal else sys.stdin:
            if message.strip() == _QUIT:
                break
            if message.strip() == _NEW:
                talk.conversation_id = None
            elif message.strip():
                talk.say(message.strip())
    if is_terminal and talk.conversation_id is not None:
        typer.echo(f"Go on with: dspy-service chat {program} --conversation {talk.conversation_id}", err=True)
    if talk.has_failed:
        raise typer.Exit(EXIT_FAILED)


@dataclass
class _Talk:
    """One conversation after the other."""

    client: Client
    program: str
    user: str | None
    conversation_id: str | None
    is_terminal: bool
    has_failed: bool = False
    """Whether a message from a pipe has no answer."""

    def say(self, message: str) -> None:
        """Say something and print the answer as it is written."""
        run_id: str | None = None
        try:
            with closing(self.client.chat.stream(message, **self._options())) as story:
                answer: AnswerText | None = None
                for event in story:
                    if isinstance(event.fact, Started):
                        run_id, self.conversation_id = event.fact.run_id, event.fact.conversation_id
                        answer = AnswerText(self._fields(event.fact))
                    elif answer is not None:
                        typer.echo(answer.more(event.fact), nl=False)
                        self._end(event.fact)
        except KeyboardInterrupt:
            self._stop(run_id)
        except ApiError as error:
            self._fail(str(error))

    def _options(self) -> ChatOptions:
        known = {"program": self.program, "user_id": self.user, "conversation_id": self.conversation_id}
        return cast("ChatOptions", {name: value for name, value in known.items() if value is not None})

    def _fields(self, started: Started) -> ChatFields:
        version = self.client.programs.version(started.program, started.version)
        return chat_fields(version.interface, version.chat)

    def _end(self, fact: RunFact) -> None:
        if isinstance(fact, Ended):
            typer.echo()
        elif isinstance(fact, Failed):
            self._fail(("\n" if fact.partial else "") + f"{fact.error.code}: {fact.error.message}")

    def _stop(self, run_id: str | None) -> None:
        """End the answer; of a program that reads from a pipe, all of it."""
        if run_id is not None:
            self.client.runs.cancel(run_id)
        typer.echo("\n(stopped)", err=True)
        if not self.is_terminal:
            raise typer.Exit(_EXIT_STOPPED)

    def _fail(self, sentence: str) -> None:
        typer.echo(sentence, err=True)
        self.has_failed = not self.is_terminal


def _typed() -> Iterator[str]:
    """Yield each line that somebody types, with a history where the system has one."""
    with suppress(ImportError):
        importlib.import_module("readline")
    while True:
        try:
            yield input(_PROMPT)
        except (EOFError, KeyboardInterrupt):
            typer.echo(err=True)
            return
