"""`python main.py` that is told to stop while somebody reads an answer: it is read to its end."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import dspy
import httpx
import pytest
from httpx_sse import connect_sse

from tests.support.openai_server import OpenAIServer, Reply
from tests.support.platforms import Started, platform, short_folder
from tests.support.served import metadata_of
from workers.runner.artifact import state_json

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the default sandbox level is Linux only"),
]

WORDS = [f"word{number} " for number in range(100)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer(lambda _body: Reply(pieces=WORDS, piece_seconds=0.08)) as server:
        yield server


def deploy(program: Started, provider: OpenAIServer) -> None:
    predict = dspy.Predict("question -> answer")
    body = {
        "program": json.loads(state_json(predict)),
        "program_metadata": json.loads(metadata_of(predict)),
        "model_config": {"name": "openai/test", "base_url": provider.base_url},
    }
    answer = httpx.post(f"{program.base_url}/v1/programs/qa/versions", json=body, trust_env=False, timeout=30)
    assert answer.status_code == httpx.codes.CREATED, answer.text


def test_an_answer_that_somebody_reads_is_read_to_its_end(folder: Path, provider: OpenAIServer) -> None:
    with platform(folder) as program, httpx.Client(base_url=program.base_url, timeout=60, trust_env=False) as http:
        program.wait_until_ready()
        deploy(program, provider)
        question = {"inputs": {"question": "Why?"}}
        told = []

        with connect_sse(http, "POST", "/v1/programs/qa/predict/stream", json=question) as source:
            for message in source.iter_sse():
                if message.event == "token" and "token" not in told:
                    program.process.send_signal(signal.SIGTERM)
                told.append(message.event)
                if message.event == "final":
                    answer = json.loads(message.data)["answer"]
        code = program.wait()

    assert "status" in told[told.index("token") :], "the readers are told of the drain"
    assert told[-2:] == ["final", "end"]
    assert answer == "".join(WORDS).strip()
    assert code == 0
    assert program.lines[-1] == "Stopped."
