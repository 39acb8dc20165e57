"""OpenAI's own client over the API in process, and a program that is served."""

from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.serving.program import ProgramVersion
from tests.support.scripted_serving import Script, ScriptedServing, say, scripted_serving
from tests.support.served_programs import a_field, a_new_version, an_interface
from tests.unit.api.conftest import ADDRESS


@pytest.fixture
def user(client: httpx.AsyncClient) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="not needed", base_url=f"{ADDRESS}/v1", http_client=client, max_retries=0)


@pytest.fixture
async def program(services: Services) -> ProgramVersion:
    """The program ``answers``: question and history to reasoning and answer."""
    fields = an_interface(
        a_field("question"),
        a_field("history", type_name="dspy.History"),
        a_field("reasoning", "output"),
        a_field("answer", "output"),
    )
    version, _ = await services.programs.add_version(a_new_version(interface=fields, optimized_score=0.75))
    return version


@pytest.fixture
def script() -> Script:
    return say("Because", " of", " light.")


@pytest.fixture
async def serving(services: Services, program: ProgramVersion, script: Script) -> AsyncIterator[ScriptedServing]:
    assert program.program == "answers"
    async with scripted_serving(services.runs, script) as serving:
        yield serving
