"""What a call took, told or estimated."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from dspy.lm15 import ImagePart, Message, Request, Response, TextPart, Usage

from dspy_service.domain.budget import Budget
from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import Answers, ScriptedEngine, broker, lm_frame, response, target
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.models_file import ModelPrice, ModelsFile
from workers.lm.prices import pricing
from workers.lm.token_count import MEDIA_TOKENS, count_tokens

_ANSWER = "billing " * 30
"""Of 240 bytes, so at most some 60 tokens."""


def _ask(text: str) -> Request:
    return Request(model="wire", messages=(Message.user(text),))


def _told(text: str = _ANSWER, **usage: Any) -> Response:  # noqa: ANN401  # fields of Usage
    return replace(response(text), usage=Usage(**usage))


def test_what_the_provider_says_stands() -> None:
    counted = count_tokens(_ask("a question"), _told(input_tokens=7, output_tokens=2))

    assert counted == (7, 2, False)


@pytest.mark.parametrize("usage", [{}, {"input_tokens": 0, "output_tokens": 0}])
def test_silence_and_zeros_are_estimated_on_the_high_side(usage: dict[str, int]) -> None:
    question = "Why was my card charged twice this month, and who can pay it back? " * 20

    counted = count_tokens(_ask(question), _told(**usage))

    assert counted.is_estimated
    assert len(question) / 4 < counted.prompt < len(question) / 2
    assert len(_ANSWER) / 4 < counted.completion < len(_ANSWER) / 2


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cache_read_tokens"])
def test_absurd_figures_are_not_believed(field: str) -> None:
    usage = {"input_tokens": 7, "output_tokens": 2, field: 10**30}

    counted = count_tokens(_ask("a question"), _told(**usage))

    assert counted.is_estimated
    assert 0 < counted.prompt < 100
    assert 0 < counted.completion < 100
    assert counted.as_told_by(Usage(**usage)) == Usage(input_tokens=counted.prompt, output_tokens=counted.completion)


def test_one_figure_that_is_told_stands_beside_one_that_is_not() -> None:
    counted = count_tokens(_ask("a question"), _told(input_tokens=7))

    assert (counted.prompt, counted.is_estimated) == (7, True)
    assert counted.completion > len(_ANSWER) / 4


def test_a_prompt_that_is_all_in_the_providers_cache_is_no_silence() -> None:
    counted = count_tokens(_ask("a question"), _told(input_tokens=0, cache_read_tokens=900, output_tokens=4))

    assert counted == (0, 4, False)


def test_an_empty_answer_is_told_by_a_zero() -> None:
    counted = count_tokens(_ask("a question"), _told("", input_tokens=3, output_tokens=0))

    assert counted == (3, 0, False)


def test_a_zero_beside_an_answer_is_none() -> None:
    counted = count_tokens(_ask("a question"), _told(input_tokens=3, output_tokens=0))

    assert counted.is_estimated
    assert counted.completion > len(_ANSWER) / 4


@pytest.mark.parametrize(
    "larger",
    [
        Request(model="wire", messages=(Message.user("x"), Message.assistant([TextPart("y" * 300)]))),
        Request(model="wire", system="y" * 300, messages=(Message.user("x"),)),
        Request(model="wire", system=(TextPart("y" * 300),), messages=(Message.user("x"),)),
        Request(model="wire", messages=(Message.user("\N{CYRILLIC SMALL LETTER YA}" * 150 + "x"),)),
    ],
)
def test_everything_that_is_sent_as_text_counts(larger: Request) -> None:
    counted = count_tokens(larger, _told())

    assert counted.prompt - count_tokens(_ask("x"), _told()).prompt >= 100


def test_an_image_counts_the_same_whatever_its_size() -> None:
    image = ImagePart(media_type="image/png", data="A" * 400_000)
    request = Request(model="wire", messages=(Message.user([TextPart("x"), image]),))

    assert MEDIA_TOKENS <= count_tokens(request, _told()).prompt < MEDIA_TOKENS + 100


async def test_money_is_counted_with_the_estimate() -> None:
    price = ModelPrice(input_usd_per_million_tokens=1e6, output_usd_per_million_tokens=1e6)
    models = ModelsFile(prices_as_of=date(2026, 1, 31), prices={"openai/own": price})
    priced = pricing(ModelSettings(name="openai/own"), provider="openai-chat", models=models)

    async def answer(_request: Request) -> Response:
        return _told()

    engine = MeteredEngine(replace(target(ScriptedEngine(answer)), price=priced.price), CallLimits())
    answered = await engine.complete(_ask("a question"))

    assert answered.tokens.is_estimated
    assert answered.cost_usd == answered.tokens.prompt + answered.tokens.completion
    assert answered.response.usage == Usage()


async def test_a_budget_of_tokens_is_kept_by_the_estimate() -> None:
    async def answer(_request: Request) -> Response:
        return _told()

    engine, answers = ScriptedEngine(answer), Answers()
    door = broker(engine, budget=Budget(max_tokens=300))
    for number in range(20):
        door.ask(lm_frame(number, f"question {number}"), answers)
        await answers.wait_for(number)
    usage = door.usage()

    assert 2 <= len(engine.requests) <= 4
    assert door.spent == "The budget's max_tokens of 300 is spent."
    assert usage.total_tokens >= 300
    assert usage.estimated_calls == usage.roles["task"].estimated_calls == usage.total_calls
