"""`dspy-service chat` as a user types it: a real API, a real serving worker, a scripted model."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dspy_service.client import Client
from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import api_process
from tests.support.openai_server import Body, OpenAIServer, Reply, error
from tests.support.platforms import plain_environment
from tests.support.processes import wait_until
from tests.support.serving_stage import serving_stage

PROGRAM = str(Path(sys.executable).with_name("dspy-service"))
SLOW = Reply(pieces=[f"word{number} " for number in range(400)], piece_seconds=0.05)


def _as_asked(body: Body) -> Reply:
    """Answer with the number of turns that the model is told, apart from what asks for trouble."""
    asked = str(body["messages"])
    if "slow" in asked.rpartition("User:")[2]:
        return SLOW
    if "refused" in asked:
        return error(400, message="no such option")
    return Reply(f"{asked.count('User:') or 1} questions so far.")


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(_as_asked) as server:
        yield server


@pytest.fixture(scope="module")
def url(provider: OpenAIServer) -> Iterator[str]:
    """Where ``question -> answer`` is served as ``qa``, beside one worker."""
    with api_process() as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            yield api.url
        finally:
            runner.run(opening.__aexit__(None, None, None))


def chat(url: str, stdin: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own program
        [PROGRAM, "chat", "qa", *words, "--url", url],
        env=plain_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


class Terminal:
    """A program on a pseudo terminal, and what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = b""

    def type(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())

    def shows(self, text: str) -> bool:
        """Whether it has printed so; reads what is there."""
        with suppress(BlockingIOError, OSError):  # nothing is there now, or nobody writes any more
            while read := os.read(self._descriptor, 4096):
                self._shown += read
        return text in self._shown.decode(errors="replace")


@contextmanager
def terminal(url: str, *words: str) -> Iterator[Terminal]:
    """Run the chat on a pseudo terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603  # our own program
        [PROGRAM, "chat", "qa", *words, "--url", url],
        env=plain_environment(TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_each_line_of_a_pipe_is_a_message_of_one_conversation(url: str) -> None:
    done = chat(url, "One?\n\nTwo?\n/new\nThree?\n/quit\nFour?\n")

    assert done.stdout == "1 questions so far.\n2 questions so far.\n1 questions so far.\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_a_conversation_is_gone_on_with_by_its_owner(url: str) -> None:
    with Client(url) as client:
        started = client.chat.say("One?", program="qa", user_id="ann")

    going_on = ("--conversation", started.conversation_id, "--user")
    mine, another = chat(url, "Two?\n", *going_on, "ann"), chat(url, "Two?\n", *going_on, "bob")

    assert (mine.stdout, mine.returncode) == ("2 questions so far.\n", 0)
    assert (another.stdout, another.returncode) == ("", 1)
    assert another.stderr.startswith("conversation_not_found (404)")


def test_an_answer_that_fails_is_said_and_the_next_line_is_answered(url: str) -> None:
    done = chat(url, "Be refused.\n/new\nOne?\n")

    assert done.stderr.startswith("model_error: The model openai/test failed (invalid_request): no such option")
    assert done.stdout == "\n1 questions so far.\n"
    assert done.returncode == 1


def test_a_program_that_is_not_there_is_said_before_anything_is_typed(url: str) -> None:
    done = subprocess.run(  # noqa: S603  # our own program
        [PROGRAM, "chat", "nobody@beta", "--url", url],
        env=plain_environment(),
        input="One?\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "There is no program 'nobody'" in done.stderr


def test_control_c_stops_the_answer_and_its_model_call_and_not_the_chat(url: str, provider: OpenAIServer) -> None:
    with terminal(url) as shown:
        shown.type("Be slow.")
        wait_until(lambda: shown.shows("word3 "), seconds=60)
        shown.process.send_signal(signal.SIGINT)
        wait_until(lambda: shown.shows("(stopped)"), seconds=20)
        slow = next(each for each in reversed(provider.received) if each.reply == SLOW)
        wait_until(lambda: slow.closed_at is not None, seconds=20)
        shown.type("/new")
        shown.type("One?")
        wait_until(lambda: shown.shows("1 questions so far."), seconds=20)
        shown.type("/quit")
        exit_code = shown.process.wait(20)
        wait_until(lambda: shown.shows("Go on with: dspy-service chat qa --conversation conv_"), seconds=5)

    assert exit_code == 0
    assert slow.pieces_sent < len(SLOW.pieces or ())


def test_control_c_ends_a_chat_that_reads_from_a_pipe(url: str, provider: OpenAIServer) -> None:
    with subprocess.Popen(  # noqa: S603  # our own program
        [PROGRAM, "chat", "qa", "--url", url],
        env=plain_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("Be slow again.\nOne?\n")
        process.stdin.flush()
        began = process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)

    assert began == "word0"
    assert "questions so far" not in rest
    assert (process.returncode, said) == (130, "\n(stopped)\n")
    wait_until(lambda: provider.received[-1].closed_at is not None, seconds=20)
