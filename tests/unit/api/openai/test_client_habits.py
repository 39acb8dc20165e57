"""What OpenAI's own client does beside plain calls: its helpers, raw answers, retries, and parameters of all ages."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from dspy_service.adapters.memory import MemoryProgramStore
from dspy_service.app import create_app
from dspy_service.bootstrap import Services
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import Run, RunError
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact
from tests.support.scripted_serving import ScriptedServing, scripted_serving, tell
from tests.unit.api.conftest import ADDRESS

QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]
USAGE = Usage(roles={"main": RoleUsage(model="m", prompt_tokens=20, completion_tokens=3)})
WHOLE = Predicted(prediction={"reasoning": "Rayleigh.", "answer": "Light."}, answer="Light.", usage=USAGE)


class Answered(BaseModel):
    """Some of the program's outputs."""

    answer: str


async def test_the_helper_for_streams_comes_to_the_whole_completion(
    user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    async with user.chat.completions.stream(
        model="answers", messages=QUESTION, stream_options={"include_usage": True}
    ) as stream:
        deltas = [each.delta async for each in stream if each.type == "content.delta"]
        whole = await stream.get_final_completion()

    assert whole.choices[0].message.content == "".join(deltas) == "Because of light."
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert len(serving.served) == 1


async def test_outputs_are_parsed_into_a_class(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    async with scripted_serving(services.runs, tell(WHOLE)):
        chat = await user.chat.completions.parse(model=program.program, messages=QUESTION, response_format=Answered)
        response = await user.responses.parse(model=program.program, input="Why?", text_format=Answered)
        async with user.chat.completions.stream(
            model=program.program, messages=QUESTION, response_format=Answered
        ) as stream:
            streamed = await stream.get_final_completion()

    assert chat.choices[0].message.parsed == Answered(answer="Light.")
    assert response.output_parsed == Answered(answer="Light.")
    assert streamed.choices[0].message.parsed == Answered(answer="Light.")


async def test_the_helper_for_responses_reads_one_that_goes_on_in_the_background(
    user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    made = await user.responses.create(model="answers", input=QUESTION, instructions="Be brief.", background=True)

    async with user.responses.stream(response_id=made.id) as stream:
        whole = await stream.get_final_response()

    assert whole.output_text == "Because of light."
    assert (whole.background, whole.instructions) == (True, "Be brief.")
    assert len(serving.served) == 1


async def test_a_raw_answer_names_its_run(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    raw = await user.chat.completions.with_raw_response.create(model="answers", messages=QUESTION)
    async with user.responses.with_streaming_response.create(model="answers", input="Why?") as streamed:
        response = await streamed.parse()

    assert raw.parse().choices[0].message.content == "Because of light."
    assert raw.headers["x-run-id"] == serving.served[0].run_id
    assert raw.request_id == raw.headers["x-request-id"]
    assert streamed.headers["x-run-id"] == response.id.replace("resp_", "run_")


async def test_the_older_name_of_a_limit_still_counts(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    await user.chat.completions.create(model="answers", messages=QUESTION, max_tokens=5)

    assert serving.served[0].options.max_tokens == 5


async def test_parameters_that_nobody_knows_here_are_told_and_change_nothing(
    user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    extra = {"verbosity": "low", "brand_new": {"a": 1}}

    chat = await user.chat.completions.create(
        model="answers",
        messages=QUESTION,
        store=True,
        logit_bias={"50256": -100},
        reasoning_effort="low",
        extra_body=extra,
    )
    response = await user.responses.create(
        model="answers", input="Why?", reasoning={"effort": "low"}, truncation="auto", extra_body=extra
    )

    told = {*chat.to_dict()["warnings"], *response.to_dict()["warnings"]}  # type: ignore[misc]  # JSON
    names = {each.partition(":")[0] for each in told}
    assert names == {"verbosity", "brand_new", "logit_bias", "reasoning_effort", "reasoning"}
    assert len(serving.served) == 2


async def test_a_model_that_limits_the_rate_is_asked_again_when_it_says(
    client: httpx.AsyncClient, program: ProgramVersion, services: Services
) -> None:
    limited = RunError(
        code="lm_rate_limited", message="Slowly.", retryable=True, retry_after_seconds=0.2, model="m", kind="rate_limit"
    )
    left: list[RunFact] = [Failed(error=limited, partial=False)]

    def script(_run: Run) -> Sequence[RunFact]:
        return [left.pop() if left else WHOLE]

    patient = openai.AsyncOpenAI(api_key="x", base_url=f"{ADDRESS}/v1", http_client=client, max_retries=1)
    async with scripted_serving(services.runs, script) as serving:
        answer = await patient.chat.completions.create(model=program.program, messages=QUESTION)

    assert answer.choices[0].message.content == "Light."
    assert len(serving.served) == 2


async def test_a_program_that_breaks_is_not_asked_again(
    client: httpx.AsyncClient, program: ProgramVersion, services: Services
) -> None:
    failed = Failed(error=RunError(code="program_error", message="It broke."), partial=False)
    patient = openai.AsyncOpenAI(api_key="x", base_url=f"{ADDRESS}/v1", http_client=client, max_retries=2)
    async with scripted_serving(services.runs, tell(failed)) as serving:
        with pytest.raises(openai.InternalServerError):
            await patient.chat.completions.create(model=program.program, messages=QUESTION)

    assert len(serving.served) == 1


@pytest.mark.parametrize(
    ("part", "place"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "messages.0.content.1.type"),
        ({"type": "file", "file": {"file_id": "f"}}, "messages.0.content.1.type"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "messages.0.content.1.type"),
    ],
    ids=["image", "file", "audio"],
)
async def test_a_part_that_is_no_text_is_refused_by_its_place(
    part: dict[str, Any], place: str, user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]

    with pytest.raises(openai.BadRequestError, match=f"'{part['type']}' is not taken here") as caught:
        await user.chat.completions.create(model=program.program, messages=messages)

    assert caught.value.param == place
    assert await services.runs.next_run() is None


async def test_an_image_in_a_response_is_refused_by_its_place(
    user: openai.AsyncOpenAI, program: ProgramVersion
) -> None:
    image: Any = {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]}

    with pytest.raises(openai.BadRequestError) as caught:
        await user.responses.create(model=program.program, input=[image])

    assert caught.value.param == "input.0.content.0.type"


class BrokenPrograms(MemoryProgramStore):
    """A store with a bug."""

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        raise ZeroDivisionError(f"secret of {tenant}/{name} {version}")


async def test_a_fault_of_ours_is_told_in_openais_words_and_says_nothing_of_our_inside(services: Services) -> None:
    broken = create_app(replace(services, programs=BrokenPrograms()))
    transport = httpx.ASGITransport(broken, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        user = openai.AsyncOpenAI(api_key="x", base_url=f"{ADDRESS}/v1", http_client=client, max_retries=0)

        with pytest.raises(openai.InternalServerError) as caught:
            await user.chat.completions.create(model="answers@v1", messages=QUESTION)

    assert (caught.value.code, caught.value.type) == ("internal_error", "server_error")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["request_id"] == caught.value.request_id
