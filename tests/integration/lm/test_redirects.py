"""An endpoint that the operator allowed cannot send the service to one that nobody allowed."""

import pytest

from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import Answers, lm_frame, opened, spec
from tests.support.openai_server import OpenAIServer, Reply, always
from workers.lm.engine import CallLimits
from workers.lm.environment import read_provider_environment
from workers.lm.registry import ModelRegistry
from workers.lm.retry import RetryPolicy


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with OpenAIServer(always("reached")) as inside:
        elsewhere = {"Location": f"{inside.base_url}/chat/completions"}
        with OpenAIServer(lambda _body: Reply(status=status, headers=elsewhere)) as allowed:
            registry = ModelRegistry(read_provider_environment({}))
            job = spec(ModelSettings(name="openai/test", base_url=allowed.base_url))
            limits = CallLimits(retry=RetryPolicy(max_attempts=1))
            door, answers = await opened(job, registry, limits), Answers()
            door.ask(lm_frame(0, "question"), answers)
            await answers.wait(1)
            await door.aclose()

    assert len(allowed.received) == 1
    assert inside.received == []
