"""``POST /v1/chat/completions`` without a stream, asked by OpenAI's own client."""

from typing import Any

import openai
import pytest

from dspy_service.bootstrap import Services
from dspy_service.domain.result import RoleUsage, Usage
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Failed, Predicted
from tests.support.scripted_serving import ScriptedServing, say, scripted_serving, tell
from tests.support.served_programs import a_field, a_new_version, an_interface

QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]
USAGE = Usage(roles={"main": RoleUsage(model="m", prompt_tokens=20, completion_tokens=3), "b": RoleUsage(model="m")})
WHOLE = Predicted(prediction={"reasoning": "Rayleigh.", "answer": "Light."}, answer="Light.", usage=USAGE)


async def test_a_program_answers_a_chat(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    answer = await user.chat.completions.create(model="answers", messages=QUESTION)

    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", "Because of light.")
    assert (choice.finish_reason, choice.index, len(answer.choices)) == ("stop", 0, 1)
    assert (answer.object, answer.model) == ("chat.completion", "answers@v1")
    assert answer.id == serving.served[0].run_id.replace("run_", "chatcmpl-")
    assert answer.system_fingerprint == f"fp_{'a' * 12}"
    assert serving.served[0].inputs == {"question": "Why is the sky blue?", "history": {"messages": []}}


async def test_all_outputs_and_the_tokens_are_told(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    async with scripted_serving(services.runs, tell(WHOLE)):
        answer = await user.chat.completions.create(model=program.program, messages=QUESTION)

    message, told = answer.choices[0].message.to_dict(), answer.to_dict()["dspy"]
    assert (message["content"], message["reasoning_content"]) == ("Light.", "Rayleigh.")
    assert isinstance(told, dict)
    assert told["prediction"] == {"reasoning": "Rayleigh.", "answer": "Light."}
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (20, 3, 23)


async def test_earlier_messages_are_turns_of_the_programs_fields(
    user: openai.AsyncOpenAI, serving: ScriptedServing
) -> None:
    messages: Any = [
        {"role": "user", "content": "What is your name?"},
        {"role": "assistant", "content": "Ada."},
        {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "mine?"}]},
    ]

    await user.chat.completions.create(model="answers", messages=messages)

    turns = {"messages": [{"question": "What is your name?", "answer": "Ada."}]}
    assert serving.served[0].inputs == {"question": "And mine?", "history": turns}


async def test_options_reach_the_run(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    await user.chat.completions.create(
        model="answers",
        messages=QUESTION,
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=7,
        stop="END",
        seed=3,
        extra_body={"cache": "bypass"},
    )

    options = serving.served[0].options
    assert (options.temperature, options.top_p, options.max_tokens) == (0.5, 0.9, 7)
    assert (options.stop, options.seed, options.cache) == (["END"], 3, "bypass")


async def test_other_inputs_stand_beside_the_messages(user: openai.AsyncOpenAI, services: Services) -> None:
    fields = an_interface(a_field("question"), a_field("year", type_name="int"), a_field("answer", "output"))
    await services.programs.add_version(a_new_version("dated", interface=fields))
    async with scripted_serving(services.runs, say("1")) as serving:
        await user.chat.completions.create(model="dated", messages=QUESTION, extra_body={"inputs": {"year": 3}})

        with pytest.raises(openai.BadRequestError) as caught:
            await user.chat.completions.create(model="dated", messages=QUESTION)

    assert serving.served[0].inputs == {"question": "Why is the sky blue?", "year": 3}
    assert (caught.value.param, caught.value.code) == ("inputs.year", "invalid_request")


async def test_what_is_ignored_is_said(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    messages: Any = [{"role": "system", "content": "Be rude."}, *QUESTION]

    answer = await user.chat.completions.create(
        model="answers", messages=messages, presence_penalty=1, frequency_penalty=0, user="u", n=1, tools=[]
    )

    assert answer.to_dict()["warnings"] == [
        "system message: this program keeps to its own instructions",
        "presence_penalty: is not offered here",
    ]
    assert serving.served[0].options.instructions is None


async def test_a_system_message_is_added_where_the_version_allows_it(
    user: openai.AsyncOpenAI, services: Services
) -> None:
    await services.programs.add_version(a_new_version("open", chat={"allow_system": True}))
    messages: Any = [{"role": "developer", "content": "Be brief."}, *QUESTION]
    async with scripted_serving(services.runs, say("1")) as serving:
        answer = await user.chat.completions.create(model="open", messages=messages)

    assert serving.served[0].options.instructions == "Be brief."
    assert "warnings" not in answer.to_dict()


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"properties": {"x": {}}}},
                }
            },
            "response_format",
        ),
        ({"temperature": 3}, "temperature"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "Hi", "tool_call_id": "1"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
        ),
        ({"messages": []}, "messages"),
        ({"extra_body": {"inputs": {"question": "?"}}}, "inputs.question"),
    ],
    ids=["n", "tools", "logprobs", "schema", "temperature", "last", "role", "image", "none", "twice"],
)
async def test_what_a_program_cannot_do_is_refused_by_name(
    changes: dict[str, Any], param: str, user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await user.chat.completions.create(**{"model": program.program, "messages": QUESTION, **changes})

    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert await services.runs.next_run() is None


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ({"type": "text"}, "Light."),
        ({"type": "json_object"}, '{"answer": "Light."}'),
        (
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"reasoning": {}}}}},
            '{"reasoning": "Rayleigh."}',
        ),
    ],
    ids=["text", "object", "schema"],
)
async def test_outputs_are_answered_as_json_when_asked_for(
    form: Any,  # noqa: ANN401  # a body
    content: str,
    user: openai.AsyncOpenAI,
    program: ProgramVersion,
    services: Services,
) -> None:
    async with scripted_serving(services.runs, tell(WHOLE)):
        answer = await user.chat.completions.create(model=program.program, messages=QUESTION, response_format=form)

    assert answer.choices[0].message.content == content


@pytest.mark.parametrize(
    ("error", "raised", "again"),
    [
        (RunError(code="lm_rate_limited", message="Slowly.", retryable=True), openai.RateLimitError, None),
        (RunError(code="program_error", message="It broke."), openai.InternalServerError, "false"),
        (RunError(code="lm_context_overflow", message="Too long."), openai.BadRequestError, "false"),
        (
            RunError(code="model_error", message="No such option.", model="openai/m", kind="invalid_request"),
            openai.InternalServerError,
            "false",
        ),
    ],
    ids=["rate", "program", "context", "model"],
)
async def test_a_run_that_failed_raises(
    error: RunError,
    raised: type[openai.APIStatusError],
    again: str | None,
    user: openai.AsyncOpenAI,
    program: ProgramVersion,
    services: Services,
) -> None:
    async with scripted_serving(services.runs, tell(Failed(error=error, partial=False))):
        with pytest.raises(raised) as caught:
            await user.chat.completions.create(model=program.program, messages=QUESTION)

    assert caught.value.code == error.code
    assert error.message in caught.value.message
    told = caught.value.response.json()["error"]["dspy"]
    assert (told.get("model"), told.get("kind"), told["retryable"]) == (error.model, error.kind, error.retryable)
    assert caught.value.response.headers.get("x-should-retry") == again


async def test_an_answer_that_was_cut_off_says_so(
    user: openai.AsyncOpenAI, program: ProgramVersion, services: Services
) -> None:
    async with scripted_serving(services.runs, say("Because", finish_reason="length")):
        answer = await user.chat.completions.create(model=program.program, messages=QUESTION)

    assert answer.choices[0].finish_reason == "length"


async def test_a_request_that_is_sent_again_has_one_run(user: openai.AsyncOpenAI, serving: ScriptedServing) -> None:
    headers = {"Idempotency-Key": "k1"}

    first = await user.chat.completions.create(model="answers", messages=QUESTION, extra_headers=headers)
    second = await user.chat.completions.create(model="answers", messages=QUESTION, extra_headers=headers)

    assert first.id == second.id
    assert len(serving.served) == 1
