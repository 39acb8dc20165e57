"""``/v1/models``: every program that is served is a model."""

import openai
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.keys import Scope
from dspy_service.domain.serving.program import ProgramVersion
from tests.support.served_programs import a_new_version
from tests.unit.api.keyed import make_key


async def test_programs_and_their_aliases_are_models(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    await services.programs.move_alias("local", "answers", "beta", version=program.version)
    await services.programs.add_version(a_new_version("other"))

    found = [each async for each in user.models.list()]

    assert sorted(each.id for each in found) == ["answers", "answers@beta", "other"]
    assert {(each.object, each.owned_by) for each in found} == {("model", "dspy-service")}
    assert found[0].created == int(program.created_at.timestamp())


async def test_a_model_tells_which_fields_carry_a_chat(user: openai.AsyncOpenAI, program: ProgramVersion) -> None:
    found = await user.models.retrieve("answers@v1")

    told = found.to_dict()["dspy"]
    assert found.id == "answers@v1"
    assert isinstance(told, dict)
    assert (told["question"], told["history"], told["answer"]) == ("question", "history", "answer")
    assert (told["digest"], told["score"], told["version"]) == (program.digest, 0.75, 1)
    assert told["inputs"]["question"] == {"type": "string"}


@pytest.mark.parametrize("name", ["nothing", "answers@v9", "answers@beta"])
async def test_a_model_that_is_none_is_not_found(name: str, user: openai.AsyncOpenAI, program: ProgramVersion) -> None:
    assert program.version == 1

    with pytest.raises(openai.NotFoundError) as caught:
        await user.models.retrieve(name)

    assert (caught.value.code, caught.value.type, caught.value.param) == (
        "model_not_found",
        "invalid_request_error",
        "model",
    )


async def test_models_of_another_tenant_are_none(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    assert program.tenant == "local"
    key = await make_key(services, tenant="other", scopes=[Scope.SERVE_INVOKE])
    stranger = user.with_options(api_key=key.token)

    found = [each async for each in stranger.models.list()]

    assert found == []
    with pytest.raises(openai.NotFoundError):
        await stranger.models.retrieve("answers")


async def test_a_wrong_key_is_told_so_in_openais_words(user: openai.AsyncOpenAI, services: Services) -> None:
    await make_key(services)  # from now on, a key is needed

    with pytest.raises(openai.AuthenticationError) as caught:
        await user.models.list()

    assert (caught.value.type, caught.value.code) == ("authentication_error", "unauthenticated")
