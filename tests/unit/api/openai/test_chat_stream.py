"""``POST /v1/chat/completions`` with a stream, read by OpenAI's own client."""

from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from dspy_service.bootstrap import Services
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Failed, Predicted, RunFact, TextReplaced, TokenWritten
from tests.support.scripted_serving import ScriptedServing, scripted_serving, tell

QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]
USAGE = Usage(roles={"main": RoleUsage(model="m", prompt_tokens=20, completion_tokens=3)})


def a_final(answer: str, reasoning: str = "") -> Predicted:
    return Predicted(prediction={"reasoning": reasoning, "answer": answer}, answer=answer, usage=USAGE)


def token(text: str, offset: int = 0, *, field: str = "answer") -> TokenWritten:
    kind = "token" if field == "answer" else "reasoning"
    return TokenWritten.model_validate(
        {"type": kind, "field": field, "predictor": "self", "text": text, "offset": offset}
    )


async def chunks(user: openai.AsyncOpenAI, **changes: Any) -> list[ChatCompletionChunk]:  # noqa: ANN401  # a body
    stream = await user.chat.completions.create(model="answers", messages=QUESTION, stream=True, **changes)
    return [each async for each in stream]


async def told(user: openai.AsyncOpenAI, services: Services, *facts: RunFact) -> list[ChatCompletionChunk]:
    async with scripted_serving(services.runs, tell(*facts)):
        return await chunks(user)


def text_of(found: list[ChatCompletionChunk], name: str = "content") -> str:
    return "".join(str(each.choices[0].delta.to_dict().get(name, "")) for each in found if each.choices)


async def test_the_words_come_one_by_one(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    found = await chunks(user)

    deltas = [each.choices[0].delta for each in found]
    assert deltas[0].role == "assistant"
    assert text_of(found) == "Because of light."
    assert [each.choices[0].finish_reason for each in found][-1] == "stop"
    assert {(each.object, each.model) for each in found} == {("chat.completion.chunk", "answers@v1")}
    assert {each.id for each in found} == {serving.served[0].run_id.replace("run_", "chatcmpl-")}
    assert all(each.usage is None for each in found)


async def test_the_usage_comes_last_when_asked_for(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    assert program.program == "answers"
    async with scripted_serving(services.runs, tell(token("Light."), a_final("Light."))):
        found = await chunks(user, stream_options={"include_usage": True})

    assert found[-1].choices == []
    assert found[-1].usage is not None
    assert (found[-1].usage.prompt_tokens, found[-1].usage.total_tokens) == (20, 23)
    assert all(each.usage is None for each in found[:-1])


async def test_an_answer_without_tokens_comes_in_one_piece(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    assert program.program == "answers"

    found = await told(user, services, a_final("Light.", "Rayleigh."))

    assert (text_of(found), text_of(found, "reasoning_content")) == ("Light.", "Rayleigh.")


async def test_reasoning_is_told_apart(user: openai.AsyncOpenAI, program: ProgramVersion, services: Services) -> None:
    assert program.program == "answers"
    facts = (token("Ray", field="reasoning"), token("leigh.", 3, field="reasoning"), token("Light."))

    found = await told(user, services, *facts, a_final("Light.", "Rayleigh."))

    assert (text_of(found), text_of(found, "reasoning_content")) == ("Light.", "Rayleigh.")


async def test_a_second_try_that_says_the_same_is_told_once(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    assert program.program == "answers"
    void = TextReplaced(field="answer", predictor="self", text="")

    found = await told(user, services, token("Li"), void, token("Lig"), token("ht.", 3), a_final("Light."))

    assert text_of(found) == "Light."


async def test_what_was_taken_back_is_put_right_by_the_last_chunk(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    assert program.program == "answers"
    void = TextReplaced(field="answer", predictor="self", text="")

    found = await told(user, services, token("Dark"), void, token("Light."), a_final("Light."))

    last = found[-1].to_dict()["dspy"]
    assert text_of(found) == "Dark"
    assert isinstance(last, dict)
    assert (last["retracted"], last["prediction"]["answer"]) == (True, "Light.")


async def test_json_is_told_whole(user: openai.AsyncOpenAI, program: ProgramVersion, services: Services) -> None:
    assert program.program == "answers"
    async with scripted_serving(services.runs, tell(token("Light."), a_final("Light."))):
        found = await chunks(user, response_format={"type": "json_object"})

    assert text_of(found) == '{"answer": "Light."}'


async def test_a_failure_after_the_first_token_raises(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    error = RunError(code="model_error", message="The line broke.", model="m", kind="provider")
    failed = Failed(error=error, partial=True)
    async with scripted_serving(services.runs, tell(token("Li"), failed)):
        stream = await user.chat.completions.create(model=program.program, messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match="The line broke") as caught:
            [each async for each in stream]

    assert caught.value.code == "model_error"
    assert isinstance(caught.value.body, dict)
    assert (caught.value.body["dspy"]["model"], caught.value.body["dspy"]["kind"]) == ("m", "provider")
