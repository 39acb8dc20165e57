"""A program rebuilt from data asks its model exactly what the optimized program asks."""

from typing import Any, Literal

import dspy
import pytest

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.program_state import ProgramStateError
from dspy_service.domain.serving.program import AdapterName
from tests.support.served import version_of
from workers.lm.demo.answering import answer
from workers.runner.artifact import state_json
from workers.serving.plain_adapter import PlainTextAdapter
from workers.serving.plain_program import rebuild

_ADAPTERS: dict[AdapterName, dspy.Adapter] = {
    "chat": dspy.ChatAdapter(),
    "json": dspy.JSONAdapter(),
    "xml": dspy.XMLAdapter(),
}


class Triage(dspy.Signature):
    """Decide where a ticket goes."""

    ticket: str = dspy.InputField()
    tags: list[str] = dspy.InputField(desc="What it is about.")
    history: dspy.History = dspy.InputField()
    queue: Literal["billing", "delivery", "other"] = dspy.OutputField(desc="Who takes it.")
    minutes: int | None = dspy.OutputField()
    is_urgent: bool = dspy.OutputField()
    scores: dict[str, float] = dspy.OutputField()


class Echoing:
    """An engine that answers like the demo model and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def complete(self, request: Any) -> Any:  # noqa: ANN401  # lm15 is untyped here
        self.asked.append(request.messages)
        turns = [{"role": message.role, "content": message.text} for message in request.messages]
        system = [{"role": "system", "content": str(request.system)}]
        text = answer([*system, *turns])
        return dspy.lm15.Response(
            id="r",
            model="m",
            message=dspy.lm15.Message.assistant([dspy.lm15.TextPart(text)]),
            finish_reason="stop",
            usage=dspy.lm15.Usage(input_tokens=1, output_tokens=1),
        )


def _optimized(module: type[dspy.Module]) -> dspy.Module:
    """Do to a program what optimizers do: rewrite its instructions, add demos, whole ones and not."""
    program = module(Triage)
    predictor = program.predictors()[0]
    predictor.signature = predictor.signature.with_instructions("Route the ticket.\n\nBe terse: one queue only.")
    history = dspy.History(messages=[])
    demo = {"ticket": "Where is it?", "tags": ["late"], "queue": "delivery", "minutes": 5, "is_urgent": True}
    whole = {**demo, "history": history, "scores": {"delivery": 0.5}, "reasoning": "A parcel is late."}
    predictor.demos = [dspy.Example(**whole).with_inputs("ticket", "tags", "history"), dspy.Example(**demo)]
    return program


def _messages(program: dspy.Module, adapter: dspy.Adapter, number: int) -> Any:  # noqa: ANN401  # messages
    predictor = program.predictors()[0]
    turns = [{"ticket": f"Before {each}", "tags": [], "queue": "other", "minutes": None} for each in range(number % 3)]
    inputs = {"ticket": f"Ticket {number}?", "tags": ["a"] * (number % 4), "history": dspy.History(messages=turns)}
    return adapter.format(predictor.signature, predictor.demos, inputs)


@pytest.mark.parametrize("module", [dspy.Predict, dspy.ChainOfThought])
@pytest.mark.parametrize("adapter", ["chat", "json", "xml"])
def test_it_asks_what_the_optimized_program_asks(module: type[dspy.Module], adapter: AdapterName) -> None:
    optimized = _optimized(module)

    rebuilt = rebuild(version_of(optimized, adapter=adapter), state_json(optimized))

    for number in range(20):
        asked = _messages(rebuilt, _ADAPTERS[adapter], number)
        assert asked == _messages(optimized, _ADAPTERS[adapter], number)


def test_a_program_that_an_optimizer_made_asks_the_same_after_it_was_rebuilt() -> None:
    rows = [dspy.Example(question=f"What is {n}?", answer=f"It is {n}.").with_inputs("question") for n in range(8)]
    engine = Echoing()
    lm = dspy.LM("demo/x", engine=engine, cache=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        optimizer = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=2, max_labeled_demos=4)
        optimized = optimizer.compile(dspy.ChainOfThought("question -> answer"), trainset=rows)
        rebuilt = rebuild(version_of(optimized), state_json(optimized))
        engine.asked.clear()
        for number in range(20):
            optimized(question=f"What about {number}?")
            rebuilt(question=f"What about {number}?")

    assert len(optimized.predictors()[0].demos) > 2
    assert engine.asked[0::2] == engine.asked[1::2]
    assert len(engine.asked) == 40


def test_constraints_and_defaults_of_a_field_stay() -> None:
    class Short(dspy.Signature):
        text: str = dspy.InputField()
        words: int = dspy.InputField(default=7)
        summary: str = dspy.OutputField(max_length=80)

    program = dspy.Predict(Short)

    rebuilt = rebuild(version_of(program), state_json(program))

    asked, known = (
        dspy.ChatAdapter().format(each.signature, [], {"text": "hi", "words": 7}) for each in (rebuilt, program)
    )
    assert asked == known
    assert rebuilt.signature.input_fields["words"].default == 7


def test_a_state_that_carries_more_than_a_state_is_refused() -> None:
    program = dspy.Predict("question -> answer")
    state = state_json(program).replace(b'"lm": null', b'"lm": {"model": "x", "api_base": "http://evil"}')

    with pytest.raises(ProgramStateError):
        rebuild(version_of(program), state)


def test_a_module_with_code_of_its_own_is_not_rebuilt() -> None:
    program = dspy.Predict("question -> answer")

    with pytest.raises(ConfigurationError):
        rebuild(version_of(program, module_name="own"), state_json(program))


def test_the_prompt_without_markers_differs_only_in_how_the_answer_is_written() -> None:
    program = dspy.Predict("question -> answer")
    demos = [{"question": "1+1?", "answer": "Two."}, {"answer": "Three."}]
    inputs = {"question": "2+2?"}

    plain = PlainTextAdapter().format(program.signature, demos, inputs)
    chat = dspy.ChatAdapter().format(program.signature, demos, inputs)

    assert [message["role"] for message in plain] == [message["role"] for message in chat]
    assert plain[1] == chat[1]
    assert plain[2]["content"] == "Two."
    assert plain[0]["content"].startswith("Your input fields are:\n1. `question` (str):")
    assert plain[0]["content"].splitlines()[-1] == chat[0]["content"].splitlines()[-1]
    assert "[[ ## answer ## ]]" not in str(plain)
    assert plain[-1]["content"].startswith("[[ ## question ## ]]\n2+2?")
