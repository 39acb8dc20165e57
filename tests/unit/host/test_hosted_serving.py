"""A host serves the runs of one program: what it asks, what it tells, and how each run ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import dspy
import pytest

from dspy_service.domain.frames import HOST_VALUES, Frame
from tests.support.host_frames import HEAD, ScriptedLink

CHAT = "[[ ## answer ## ]]\nyes it is\n\n[[ ## completed ## ]]"


def _yes(_call: Frame) -> str:
    return CHAT


def _silence(_call: Frame) -> None:
    return None


class Threaded(dspy.Module):
    """Can only be called."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.ask(question=question)


class Wrong(Threaded):
    """Calls where it should await."""

    async def aforward(self, question: str) -> dspy.Prediction:
        return self.ask(question=question)


class Both(dspy.Module):
    """Asks two predictors at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.one = dspy.Predict("question -> answer")
        self.two = dspy.Predict("question -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        first, _ = await asyncio.gather(self.one.acall(question=question), self.two.acall(question=question))
        return dspy.Prediction(answer=first.answer)


class Says(dspy.Module):
    """Does what it was made with."""

    def __init__(self, what: Any) -> None:  # noqa: ANN401  # an exception to raise, or a value to return
        super().__init__()
        self.what = what

    async def aforward(self, question: str) -> Any:  # noqa: ANN401, ARG002  # whatever
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


@pytest.mark.parametrize("program", [dspy.Predict("question -> answer"), Threaded()], ids=["awaited", "threaded"])
async def test_a_run_tells_its_tokens_and_predicts(program: dspy.Module) -> None:
    link = ScriptedLink(_yes)
    link.load(program)
    link.run(7, options={"max_tokens": 9})

    done = await link.heard("done", "failed")

    assert done == {"t": "done", "run": 7, "prediction": {"answer": "yes it is"}}
    assert "".join(token["text"] for token in link.facts("token")) == "yes it is"
    (call,) = link.calls
    assert (call["run"], call["tells"], call["rollout_id"], call["candidate"]) == (7, True, None, 0)
    assert (call["request"]["config"]["max_tokens"], call["request"]["config"]["temperature"]) == (9, 0.5)


@pytest.mark.parametrize("kind", [dspy.BestOfN, dspy.Refine])
async def test_a_program_that_scores_its_own_tries_is_served(kind: Callable[..., dspy.Module]) -> None:
    link = ScriptedLink(_yes)
    link.load(kind(dspy.Predict("question -> answer"), N=2, reward_fn=lambda _inputs, _told: 1.0, threshold=1.0))
    link.run()

    assert await link.heard("done", "failed") == {"t": "done", "run": 1, "prediction": {"answer": "yes it is"}}


async def test_two_predictors_at_a_time_keep_their_texts_apart() -> None:
    link = ScriptedLink(_yes)
    link.load(Both())
    link.run()

    await link.heard("done")

    texts = dict.fromkeys(("one", "two"), "")
    for token in link.facts("token"):
        texts[token["predictor"]] += token["text"]
    assert texts == {"one": "yes it is", "two": "yes it is"}


async def test_runs_go_on_together() -> None:
    link = ScriptedLink(lambda call: CHAT if call["run"] == 2 else None)
    link.load(Threaded())
    link.run(1)
    link.run(2)

    assert (await link.heard("done"))["run"] == 2


@pytest.mark.parametrize("program", [dspy.Predict("question -> answer"), Threaded()], ids=["awaited", "threaded"])
async def test_a_run_that_is_told_to_end_ends(program: dspy.Module) -> None:
    link = ScriptedLink(_silence)
    link.load(program)
    link.run(3)
    await link.heard("lm")

    link.serving.take({"t": "stop", "run": 3})
    link.serving.take({"t": "stop", "run": 99})

    failed = await link.heard("failed")
    assert (failed["run"], failed["kind"]) == (3, "stopped")


async def test_a_run_that_is_told_to_end_before_it_has_begun_says_so_too() -> None:
    link = ScriptedLink(_yes)
    link.load(dspy.Predict("question -> answer"))

    link.run(3)
    link.serving.take({"t": "stop", "run": 3})  # both came with one read

    assert await link.heard("failed") == {"t": "failed", "run": 3, "kind": "stopped", "message": ""}
    assert link.calls == []


async def test_a_run_that_waits_for_a_thread_ends_at_once() -> None:
    link = ScriptedLink(_silence)
    link.load(Threaded())
    for number in range(1, 66):
        link.run(number)
    async with asyncio.timeout(60):
        while len(link.calls) < 64:
            await link.heard_more()

    link.serving.take({"t": "stop", "run": 65})

    assert (await link.heard("failed"))["run"] == 65
    for number in range(1, 65):
        link.serving.take({"t": "stop", "run": number})
    async with asyncio.timeout(60):
        while sum(frame["t"] == "failed" for frame in link.sent) < 65:
            await link.heard_more()


@pytest.mark.parametrize("program", [dspy.Predict("question -> answer"), Threaded()], ids=["awaited", "threaded"])
async def test_a_failed_call_is_named(program: dspy.Module) -> None:
    error = {"kind": "rate_limit", "message": "slow down", "model": "openai/test", "retry_after_seconds": 2.0}
    link = ScriptedLink(lambda _call: {"error": error})
    link.load(program)
    link.run()

    failed = await link.heard("failed")

    assert (failed["kind"], failed["id"]) == ("lm", link.calls[-1]["id"])


async def test_an_answer_that_cannot_be_read_is_told_as_that() -> None:
    link = ScriptedLink(lambda _call: "nothing of the kind")
    link.load(dspy.Predict("question -> answer, other: int"), adapter="xml")
    link.run()

    assert (await link.heard("failed"))["kind"] == "adapter_parse"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (Says(ValueError("no such thing")), "ValueError: no such thing"),
        (Says(SystemExit("bye")), "bye"),
        (Says({"answer": "x"}), "returned a dict"),
        (Wrong(), "acall"),
        (Says(dspy.Prediction(answer="x" * 200_000)), "larger than 100000"),
        (Says(dspy.Prediction(answer=[1] * 2 * HOST_VALUES)), f"more than {HOST_VALUES} values"),
    ],
    ids=["raises", "exits", "no prediction", "blocks", "too large", "too many values"],
)
async def test_what_a_program_does_wrong_fails_its_run(program: dspy.Module, words: str) -> None:
    link = ScriptedLink(_yes)
    link.load(program)
    link.run()

    failed = await link.heard("failed")

    assert failed["kind"] == "program"
    assert words in failed["message"]


async def test_an_input_that_does_not_fit_is_refused_by_name() -> None:
    link = ScriptedLink(_yes)
    link.load(dspy.Predict("count: int -> answer"))
    link.run(inputs={"count": "many"})

    failed = await link.heard("failed")

    assert (failed["kind"], failed["field"]) == ("input", "count")
    assert link.calls == []


async def test_a_runs_own_instructions_are_added() -> None:
    link = ScriptedLink(_yes)
    link.load(dspy.ChainOfThought("question -> answer"))
    link.run(instructions="Rhyme.")

    await link.heard("done", "failed")

    assert "Rhyme." in str(link.calls[0]["request"])


@pytest.mark.parametrize("pickled", [b"no pickle", {"a": "dict"}], ids=["bytes", "no module"])
async def test_what_is_no_program_is_refused(pickled: object) -> None:
    link = ScriptedLink(_yes)

    link.load(pickled)

    assert (await link.heard("refused"))["message"]


async def test_a_run_before_its_program_breaks_the_protocol() -> None:
    link = ScriptedLink(_yes)
    link.serving.take(HEAD)

    with pytest.raises(ValueError, match="before its program"):
        link.run()


async def test_a_ping_is_answered_and_a_late_answer_does_no_harm() -> None:
    link = ScriptedLink(_yes)

    link.serving.take({"t": "text", "id": 5, "text": "x"})
    link.serving.take({"t": "answer", "id": 5, "response": {}})
    link.serving.take({"t": "ping", "number": 4})

    assert await link.heard("pong") == {"t": "pong", "number": 4}
