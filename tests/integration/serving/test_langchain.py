"""LangChain's ``ChatOpenAI`` calls a deployed program: a real API, a real serving worker, a scripted model."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dspy_service.domain.spec import ModelSettings
from tests.support.api_process import api_process
from tests.support.openai_server import Body, OpenAIServer, Reply, error
from tests.support.platforms import ROOT, plain_environment
from tests.support.serving_stage import serving_stage

PYTHON = ROOT / ".langchain" / "bin" / "python"
ANSWER = "Because of the light."

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make langchain` installs LangChain beside our own pins")


def _as_asked(body: Body) -> Reply:
    if "refused" in str(body["messages"]):
        return error(400, message="no such option")
    return Reply(pieces=["Because ", "of ", "the ", "light."], piece_seconds=0.02)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where ``question -> answer`` is served as ``qa``, beside one worker."""
    with OpenAIServer(_as_asked) as provider, api_process() as api, asyncio.Runner() as runner:
        opening = serving_stage(api.store.url, api.folder)
        stage = runner.run(opening.__aenter__())
        try:
            runner.run(stage.deploy(ModelSettings(name="openai/test", base_url=provider.base_url), adapter="text"))
            runner.run(stage.worker())
            yield f"{api.url}/v1"
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def found(url: str) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  # our own script
        [PYTHON, ROOT / "tests" / "support" / "langchain_talk.py", url],
        env=plain_environment(LANGSMITH_TRACING="false", no_proxy="*"),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_program_is_a_model_of_langchain(api: str, found: dict[str, Any]) -> None:
    told = found[api]

    assert (told["invoke"], told["messages"], told["stream"]) == (ANSWER, ANSWER, ANSWER)
    assert told["pieces"] > 1
    assert told["batch"] == [ANSWER, ANSWER]
    assert told["structured"] == {"answer": ANSWER}


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_models_refusal_reaches_langchain_in_words(api: str, found: dict[str, Any]) -> None:
    assert "The model openai/test failed (invalid_request): no such option" in found[api]["refused"]
