"""Which predictor an answer belongs to: programs of several predictors, loops, and calls without any."""

import asyncio
from collections.abc import Mapping
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage

from dspy_service.domain.serving.run_events import FieldDone, RunFact, StatusNoted, TextReplaced, TokenWritten
from dspy_service.domain.spec import ModelSettings
from workers.lm.meter import Meter
from workers.lm.target import Target
from workers.serving.answer_cache import ROLE
from workers.serving.callbacks import ProgramWatch
from workers.serving.engine import StreamLimits, TellingEngine
from workers.serving.lm import CALLS, RunCalls, build_lm
from workers.serving.progress import Progress


class WholeAnswers:
    """A model that answers at once: each question with what is written for it."""

    def __init__(self, answers: Mapping[str, list[str]]) -> None:
        self._answers = {asked: iter(texts) for asked, texts in answers.items()}

    async def complete(self, request: Request, *, sample: str) -> Response:  # noqa: ARG002  # the port's
        await asyncio.sleep(0)
        last = request.messages[-1].text
        text = next(texts for asked, texts in self._answers.items() if asked in last)
        message = Message.assistant([TextPart(next(text))])
        return Response(
            id="r", model="m", message=message, finish_reason="stop", usage=Usage(input_tokens=1, output_tokens=1)
        )

    async def aclose(self) -> None:
        pass


async def _facts(program: dspy.Module, answers: Mapping[str, list[str]], **inputs: Any) -> list[RunFact]:  # noqa: ANN401  # inputs
    progress = Progress()
    watch = ProgramWatch(program, progress)
    target = Target("model", "wire", WholeAnswers(answers), lambda _request, _response: 0.0)
    lm = build_lm(ModelSettings(name="demo/in-context"), TellingEngine(target, StreamLimits()), {})
    CALLS.set(RunCalls(tenant="acme", meter=Meter({ROLE: "m"}), listen=watch.listen))
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(), callbacks=[watch], disable_history=True, trace=None):
        await program.acall(**inputs)
    progress.end()
    return await progress.take()


def _chat(**fields: str) -> str:
    return "\n\n".join([*(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()), "[[ ## completed ## ]]"])


def _tokens(facts: list[RunFact]) -> list[tuple[str, str, int, str]]:
    return [(fact.predictor, fact.field, fact.turn, fact.text) for fact in facts if isinstance(fact, TokenWritten)]


class Loop(dspy.Module):
    """Asks twice with one predictor, then once with another."""

    def __init__(self) -> None:
        super().__init__()
        self.think = dspy.Predict("question -> next_thought")
        self.extract = dspy.Predict("notes -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        first = await self.think.acall(question=f"{question} one")
        second = await self.think.acall(question=f"{question} two")
        return await self.extract.acall(notes=first.next_thought + second.next_thought)


async def test_b7_a_field_that_is_written_again_in_a_loop_has_another_turn() -> None:
    answers = {
        "one": [_chat(next_thought="hm")],
        "two": [_chat(next_thought="ah")],
        "notes": [_chat(answer="42")],
    }

    facts = await _facts(Loop(), answers, question="why")

    assert _tokens(facts) == [
        ("think", "next_thought", 0, "hm"),
        ("think", "next_thought", 1, "ah"),
        ("extract", "answer", 0, "42"),
    ]
    assert [fact.type for fact in facts if isinstance(fact, TokenWritten)] == ["reasoning", "reasoning", "token"]
    assert [(fact.predictor, fact.turn, fact.value) for fact in facts if isinstance(fact, FieldDone)] == [
        ("think", 0, "hm"),
        ("think", 1, "ah"),
        ("extract", 0, "42"),
    ]


class Both(dspy.Module):
    """Asks two predictors at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.left = dspy.Predict("left -> answer")
        self.right = dspy.Predict("right -> answer")

    async def aforward(self) -> dspy.Prediction:
        left, right = await asyncio.gather(self.left.acall(left="L"), self.right.acall(right="R"))
        return dspy.Prediction(answer=left.answer + right.answer)


async def test_predictors_that_write_at_a_time_do_not_mix() -> None:
    answers = {"[[ ## left ## ]]": [_chat(answer="from left")], "[[ ## right ## ]]": [_chat(answer="from right")]}

    facts = await _facts(Both(), answers)

    assert sorted(_tokens(facts)) == [("left", "answer", 0, "from left"), ("right", "answer", 0, "from right")]


class Direct(dspy.Module):
    """Asks its model a question of its own after a predictor's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        told = await self.first.acall(question=question)
        await dspy.settings.lm.acall("own words")
        return told


async def test_a_call_without_a_predictor_writes_no_field() -> None:
    answers = {"own words": ["[[ ## answer ## ]]\nnot a field"], "why": [_chat(answer="because")]}

    facts = await _facts(Direct(), answers, question="why")

    assert _tokens(facts) == [("first", "answer", 0, "because")]


async def test_several_candidates_of_a_call_write_the_first_one_only() -> None:
    program = dspy.Predict("question -> answer", n=2)
    answers = {"why": [_chat(answer="first"), _chat(answer="second")]}

    facts = await _facts(program, answers, question="why")

    assert _tokens(facts) == [("self", "answer", 0, "first")]
    assert not any(isinstance(fact, TextReplaced) for fact in facts)


async def test_what_is_being_done_has_a_start_and_an_end_with_its_time() -> None:
    program = dspy.ChainOfThought("question -> answer")

    facts = await _facts(program, {"why": [_chat(reasoning="so", answer="it is")]}, question="why")

    noted = [(fact.stage, fact.phase, fact.name) for fact in facts if isinstance(fact, StatusNoted)]
    assert noted == [
        ("module", "start", "predict"),
        ("lm", "start", "demo/in-context"),
        ("lm", "end", "demo/in-context"),
        ("module", "end", "predict"),
    ]
    assert all((fact.elapsed_ms is None) == (fact.phase == "start") for fact in facts if isinstance(fact, StatusNoted))


class Looking(dspy.Module):
    """Uses a tool before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.tool = dspy.Tool(_look, name="look")
        self.answer = dspy.Predict("found -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.answer.acall(found=await self.tool.acall(what=question))


async def _look(what: str) -> str:
    return f"found {what}"


async def test_a_tool_is_noted_by_its_name() -> None:
    facts = await _facts(Looking(), {"found it": [_chat(answer="here")]}, question="it")

    noted = [(fact.stage, fact.phase, fact.name) for fact in facts if isinstance(fact, StatusNoted)]
    assert noted[:3] == [("tool", "start", "look"), ("tool", "end", "look"), ("module", "start", "answer")]
