"""The demo model answers from its prompt alone, in every format of DSPy."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Literal

import dspy
import pytest
from dspy.adapters.base import Adapter
from hypothesis import example as always
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from workers.lm.demo.answering import answer
from workers.lm.demo.engine import DemoEngine

ADAPTERS = {
    "chat": dspy.ChatAdapter(use_json_adapter_fallback=False),
    "json": dspy.JSONAdapter(),
    "xml": dspy.XMLAdapter(use_json_adapter_fallback=False),
}


class Route(dspy.Signature):
    """Route the ticket."""

    ticket: str = dspy.InputField()
    team: Literal["alpha", "beta"] = dspy.OutputField()


class Judge(dspy.Signature):
    """Judge the ticket."""

    ticket: str = dspy.InputField()
    team: Literal["a", "it's <b> & c"] = dspy.OutputField()
    urgent: bool = dspy.OutputField()
    count: int = dspy.OutputField()
    price: float = dspy.OutputField()
    tags: list[str] = dspy.OutputField()
    remark: str = dspy.OutputField()


def example(ticket: str, team: str) -> dspy.Example:
    return dspy.Example(ticket=ticket, team=team).with_inputs("ticket")


TWO_TEAMS = (
    example("the invoice shows a wrong amount", "alpha"),
    example("my parcel was never delivered by the courier", "beta"),
)


def ask(messages: Sequence[dict[str, Any]], *, seed: int = 0, temperature: float = 0.0, sample: str = "") -> str:
    return answer(messages, seed=seed, temperature=temperature, sample=sample)


def predict(
    program: dspy.Module, adapter: Adapter, demos: Sequence[dspy.Example] = (), **inputs: str
) -> dspy.Prediction:
    lm = dspy.LM("demo/in-context", engine=DemoEngine(), cache=False)
    for predictor in program.predictors():
        predictor.demos = list(demos)
    with dspy.context(lm=lm, adapter=adapter):
        return program(**inputs)


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_swapped_labels_in_the_demonstrations_swap_the_answer(adapter: Adapter) -> None:
    other = {"alpha": "beta", "beta": "alpha"}
    swapped = [example(demo.ticket, other[demo.team]) for demo in TWO_TEAMS]
    ticket = "you sent me an invoice twice"

    as_shown = predict(dspy.Predict(Route), adapter, TWO_TEAMS, ticket=ticket)
    as_swapped = predict(dspy.Predict(Route), adapter, swapped, ticket=ticket)

    assert (as_shown.team, as_swapped.team) == ("alpha", "beta")


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize(
    "rule",
    [
        'Choose "beta" when the ticket mentions: invoice, charge.',
        "- beta: invoice, charge, refund",
        "If the customer writes about an invoice, answer beta.",
    ],
)
def test_a_rule_in_the_instruction_is_followed(adapter: Adapter, rule: str) -> None:
    signature = Route.with_instructions(f"Route the ticket.\n{rule}\nalpha: parcel, courier")

    answered = predict(dspy.Predict(signature), adapter, ticket="the invoice is wrong")

    assert answered.team == "beta"


def test_a_rule_can_speak_against_an_option() -> None:
    rules = "alpha: invoice, shipping. Choose beta for an invoice, but not when they ask about shipping."
    signature = Route.with_instructions(rules)

    answered = predict(dspy.Predict(signature), ADAPTERS["chat"], ticket="shipping")

    assert answered.team == "alpha"


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
def test_every_format_parses_with_every_kind_of_field(adapter: Adapter, module: type[dspy.Module]) -> None:
    answered = predict(module(Judge), adapter, ticket="3 lamps for 12.50 <b> & broken")

    assert answered.team in {"a", "it's <b> & c"}
    assert isinstance(answered.urgent, bool)
    assert (answered.count, answered.price) == (3, 12.5)
    assert isinstance(answered.tags, list)
    assert isinstance(answered.remark, str)


def test_the_reasoning_names_what_decided() -> None:
    answered = predict(dspy.ChainOfThought(Route), ADAPTERS["chat"], TWO_TEAMS, ticket="where is the courier")

    assert "courier" in answered.reasoning
    assert "beta" in answered.reasoning


def test_the_reasoning_admits_a_guess() -> None:
    answered = predict(dspy.ChainOfThought(Route), ADAPTERS["chat"], ticket="zzz")

    assert "guess" in answered.reasoning


def test_labels_without_a_literal_type_come_from_the_demonstrations() -> None:
    demos = [*TWO_TEAMS, example("pay the bill", "alpha"), example("the box is late", "beta")]

    answered = predict(dspy.Predict("ticket -> team"), ADAPTERS["chat"], demos, ticket="I have to pay a bill")

    assert answered.team == "alpha"


def test_demonstrations_teach_what_to_copy() -> None:
    demos = [
        dspy.Example(message="customer 123456 asks for order AB-1234", code="AB-1234").with_inputs("message"),
        dspy.Example(message="call 555123 about AB-7777 please", code="AB-7777").with_inputs("message"),
    ]

    unaided = predict(dspy.Predict("message -> code"), ADAPTERS["chat"], message="phone 998877, number AB-4242")
    aided = predict(dspy.Predict("message -> code"), ADAPTERS["chat"], demos, message="phone 998877, number AB-4242")

    assert (unaided.code, aided.code) == ("998877", "AB-4242")


@pytest.mark.parametrize(
    "rule",
    [
        'The code looks like "AB-9999".',
        "Find the number starting with AB-.",
        "It is an id such as AB-0000.",
    ],
)
def test_a_rule_says_what_to_copy(rule: str) -> None:
    signature = dspy.Signature("message -> code", rule)

    answered = predict(dspy.Predict(signature), ADAPTERS["chat"], message="phone 998877, number AB-4242")

    assert answered.code == "AB-4242"


def test_a_rule_of_digits_says_what_to_copy() -> None:
    signature = dspy.Signature("message -> code", "Copy the 7-digit number.")

    answered = predict(dspy.Predict(signature), ADAPTERS["chat"], message="room 12, then 1234567, then 99")

    assert answered.code == "1234567"


def test_an_equal_request_has_an_equal_answer_and_another_seed_guesses_differently() -> None:
    chat = ADAPTERS["chat"]
    prompts = [chat.format(Route, [], {"ticket": f"zz{number}"}) for number in range(24)]

    once, again = ([ask(prompt) for prompt in prompts] for _ in range(2))
    other_seed = [ask(prompt, seed=1) for prompt in prompts]

    assert once == again
    assert once != other_seed


def test_samples_differ_only_above_temperature_zero() -> None:
    prompt = ADAPTERS["chat"].format(Route, [], {"ticket": "zz"})

    cold = {ask(prompt, sample=str(number)) for number in range(24)}
    warm = {ask(prompt, temperature=1.0, sample=str(number)) for number in range(24)}

    assert len(cold) == 1
    assert len(warm) == 2


def test_a_plain_message_gets_an_honest_reply() -> None:
    reply = answer([{"role": "user", "content": "Hello there"}])

    assert "demo model" in reply
    assert "Hello there" in reply


def test_a_question_over_a_context_is_answered_with_its_best_sentence() -> None:
    context = "Lamps are on the first floor. Our shop opens at nine on Mondays. We sell tea."

    answered = predict(
        dspy.Predict("context, question -> answer"), ADAPTERS["chat"], context=context, question="When opens the shop?"
    )

    assert answered.answer == "Our shop opens at nine on Mondays."


def test_the_core_needs_no_dspy() -> None:
    code = "import sys, workers.lm.demo.answering, workers.lm.demo.options; print('dspy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert done.stdout.strip() == "False"


def test_a_json_reply_is_json() -> None:
    prompt = ADAPTERS["json"].format(Judge, [], {"ticket": "x"})

    assert set(json.loads(ask(prompt))) == set(Judge.output_fields)


class Parcel(BaseModel):
    """A parcel with every simple kind of value."""

    code: str
    weight: float
    count: int
    fragile: bool
    kind: Literal["box", "bag"]
    note: str | None
    stops: list[str] = Field(min_length=1)


class Pack(dspy.Signature):
    """Pack it."""

    order: str = dspy.InputField()
    parcel: Parcel = dspy.OutputField()


@pytest.mark.parametrize("name", ["chat", "json"])
def test_a_structured_output_is_the_smallest_that_fits_its_schema(name: str) -> None:
    answered = predict(dspy.Predict(Pack), ADAPTERS[name], order="two lamps")

    assert answered.parcel == Parcel(code="", weight=0, count=0, fragile=False, kind="box", note=None, stops=[""])


def test_a_question_like_a_demonstration_gets_its_reply() -> None:
    demos = [dspy.Example(question="When does the shop open?", answer="At nine.").with_inputs("question")]

    answered = predict(dspy.Predict("question -> answer"), ADAPTERS["chat"], demos, question="when does your shop open")

    assert answered.answer == "At nine."


def test_a_prompt_without_input_gets_an_honest_reply() -> None:
    answered = predict(dspy.Predict("question -> answer"), ADAPTERS["chat"], question="")

    assert "no input" in answered.answer


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@given(ticket=st.text(), shown=st.text())
@always(ticket="\u1c40", shown="")  # a digit, but none that numbers are read from
@settings(max_examples=60, deadline=None)
def test_any_text_gets_an_answer_that_parses(adapter: Adapter, ticket: str, shown: str) -> None:
    demos = [example(shown, "alpha")]
    prompt = adapter.format(Judge, demos, {"ticket": ticket})

    parsed = adapter.parse(Judge, ask(prompt))

    assert set(parsed) == set(Judge.output_fields)
