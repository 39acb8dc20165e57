"""Model calls over a real socket pair: questions, answers, errors and the fuse."""

import asyncio
import copy
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import pytest
from dspy._vendor.lm15.serde import response_to_dict
from dspy.lm15 import response_from_openai_chat
from dspy.utils import exceptions as dspy_errors

from dspy_service.domain.frames import Frame, FrameReader, encode
from dspy_service.domain.model_errors import ModelErrorKind
from workers.runner.channel import Channel
from workers.runner.failures import Cancelled, JobFailed, Stopped
from workers.runner.models import BrokerLM, RoleTally, build_lm
from workers.runner.stage import Stage

Answer = Callable[[Frame], dict[str, Any]]


def _response(text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    body = {"id": "i", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    response: dict[str, Any] = response_to_dict(response_from_openai_chat(body, model="openai/m"))
    return response


class Broker:
    """The other end: answers on a thread of its own, and remembers what it was asked."""

    def __init__(self, sock: socket.socket) -> None:
        self.asked: list[Frame] = []
        self.answer: Answer = lambda frame: {"response": _response(f"answer {frame['id']}")}
        self.sock = sock
        self.silent = False
        self.came = threading.Event()

    def serve(self) -> None:
        reader = FrameReader()
        while data := self.sock.recv(1 << 16):
            for frame in reader.feed(data):
                self.asked.append(frame)
                self.came.set()
                if frame["t"] == "lm" and not self.silent:
                    self.sock.sendall(encode({"t": "answer", "id": frame["id"], **self.answer(frame)}))


@pytest.fixture
def broker_and_channel() -> Iterator[tuple[Broker, Channel]]:
    ours, theirs = socket.socketpair()
    broker = Broker(ours)
    thread = threading.Thread(target=broker.serve, daemon=True)
    thread.start()
    channel = Channel(theirs)
    reader = threading.Thread(target=_pump, args=(channel, theirs), daemon=True)
    reader.start()
    yield broker, channel
    theirs.shutdown(socket.SHUT_RDWR)
    ours.shutdown(socket.SHUT_RDWR)
    for each in (thread, reader):
        each.join(timeout=5)
    ours.close()
    theirs.close()


def _pump(channel: Channel, sock: socket.socket) -> None:
    """Read for the channel without its habit of ending the process when the other end hangs up."""
    reader = FrameReader()
    while data := sock.recv(1 << 16):
        for frame in reader.feed(data):
            channel._dispatch(frame)


def _stage(channel: Channel) -> Stage:
    return Stage(channel, phase="compile", heard=lambda _replayed, _seconds: None)


def _lm(channel: Channel, tally: RoleTally | None = None, **settings: Any) -> BrokerLM:  # noqa: ANN401  # LM options
    return build_lm(_stage(channel), "task", {"model": "openai/m", **settings}, tally or RoleTally("task"))


Pair = tuple[Broker, Channel]


def test_an_answer_comes_back_to_the_thread_that_asked(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda frame: {"response": _response(str(frame["request"]["messages"][0]["parts"][0]["text"]))}
    lm = _lm(channel)
    got: dict[str, Any] = {}

    def ask(text: str) -> None:
        got[text] = lm(text)

    threads = [threading.Thread(target=ask, args=(f"question {number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == {f"question {number}": [f"question {number}"] for number in range(20)}


def test_the_request_carries_alias_and_options_and_nothing_else(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel

    _lm(channel, temperature=0.5, max_tokens=9, top_p=0.9, extra={"stop": ["x"]})("hi")

    (frame,) = broker.asked
    assert frame["role"] == "task"
    assert frame["request"]["model"] == "openai/m"
    assert frame["request"]["config"] == {"max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "stop": ["x"]}
    assert (frame["rollout_id"], frame["candidate"]) == (None, 0)


def test_the_rollout_is_told_apart_though_dspy_strips_it(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    lm = _lm(channel, temperature=1.0)

    lm("hi", rollout_id=4)
    lm.copy(rollout_id=5, temperature=1.0)("hi")
    lm("hi")

    assert [frame["rollout_id"] for frame in broker.asked] == [4, 5, None]
    assert broker.asked[0]["request"] == broker.asked[2]["request"]


def test_candidates_of_one_call_are_numbered(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel

    _lm(channel, temperature=1.0)("hi", n=3)

    assert [frame["candidate"] for frame in broker.asked] == [0, 1, 2]


def test_an_asynchronous_call_says_the_same(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    lm = _lm(channel, temperature=1.0)

    answer = asyncio.run(lm.acall("hi", rollout_id=7))

    assert answer == ["answer 1"]
    assert broker.asked[0]["rollout_id"] == 7


@pytest.mark.parametrize("kind", [kind for kind in ModelErrorKind if kind is not ModelErrorKind.BUDGET])
def test_every_kind_of_failure_is_an_error_of_dspy(broker_and_channel: Pair, kind: ModelErrorKind) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda _frame: {"error": {"kind": kind.value, "message": "said no", "model": "openai/m"}}

    with pytest.raises(dspy_errors.LMError, match="said no") as caught:
        _lm(channel)("hi")

    assert caught.value.code == kind.value
    assert dspy_errors.is_retryable_lm_error(caught.value) == kind.is_transient


def test_a_context_window_error_is_the_one_that_modules_catch(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda _frame: {"error": {"kind": "context_window_exceeded", "message": "too long", "model": "m"}}

    with pytest.raises(dspy.ContextWindowExceededError):
        _lm(channel)("hi")


def test_what_the_provider_asked_to_wait_is_kept(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    error = {"kind": "rate_limit", "message": "slow down", "model": "m", "retry_after_seconds": 7.5}
    broker.answer = lambda _frame: {"error": error}

    with pytest.raises(dspy_errors.LMRateLimitError) as caught:
        _lm(channel)("hi")

    assert caught.value.retry_after == 7.5


def test_five_failures_from_the_start_end_the_job(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda _frame: {"error": {"kind": "auth", "message": "bad key", "model": "openai/m"}}
    lm = _lm(channel)
    for _ in range(4):
        with pytest.raises(dspy_errors.LMAuthError):
            lm("hi")

    with pytest.raises(JobFailed, match="5 of 5 calls to the task model failed") as caught:
        lm("hi")

    assert caught.value.failure.kind == "model_error"
    assert "The operator's key for this provider is missing or wrong." in caught.value.failure.message


def test_some_failures_among_answers_are_borne() -> None:
    tally = RoleTally("task")

    for _ in range(100):
        tally.succeeded()
        tally.failed(dspy_errors.LMServerError("busy", code="server"))

    assert (tally.calls, tally.failures) == (200, 100)


def test_a_spent_budget_ends_the_stage_with_the_first_refusal(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda _frame: {"error": {"kind": "budget_exhausted", "message": "5 USD spent", "model": "m"}}
    tally = RoleTally("task")
    lm = _lm(channel, tally)

    with pytest.raises(Stopped):
        lm("hi")
    with pytest.raises(Stopped, match="5 USD spent") as caught:
        lm("and again")

    assert caught.value.reason == "budget_exhausted"
    assert len(broker.asked) == 1
    assert tally.calls == 0


def test_answers_of_an_earlier_attempt_are_counted_apart(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.answer = lambda frame: {"response": _response("a"), "replayed": frame["id"] == 1}
    tally = RoleTally("task")
    lm = _lm(channel, tally)

    lm("first")
    lm("second")

    assert tally.as_details() == {"calls": 2, "failed": 0, "replayed": 1}


def test_capabilities_are_those_of_the_native_model(broker_and_channel: Pair) -> None:
    _, channel = broker_and_channel
    told = {"function_calling": True, "reasoning": False, "response_schema": True, "params": ["temperature", "n"]}

    lm = _lm(channel, capabilities=told)

    assert (lm.supports_function_calling, lm.supports_reasoning, lm.supports_response_schema) == (True, False, True)
    assert lm.supported_params == {"temperature", "n"}


def test_copies_share_the_engine(broker_and_channel: Pair) -> None:
    _, channel = broker_and_channel
    lm = _lm(channel)

    assert copy.deepcopy(lm).engine is lm.engine
    assert lm.copy(temperature=0.1).role == "task"


def test_a_cancel_ends_a_waiting_call_and_every_later_one(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel
    broker.silent = True
    lm = _lm(channel)
    ended: list[type[BaseException]] = []

    def ask() -> None:
        try:
            lm("hi")
        except BaseException as error:  # noqa: BLE001  # the test wants to see which
            ended.append(type(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    assert broker.came.wait(timeout=5)
    broker.sock.sendall(encode({"t": "cancel"}))
    waiting.join(timeout=5)

    assert ended == [Cancelled]
    with pytest.raises(Cancelled):
        lm("again")


def test_notes_arrive_before_what_is_said_after_them(broker_and_channel: Pair) -> None:
    broker, channel = broker_and_channel

    for number in range(100):
        channel.note({"t": "event", "number": number})
    channel.say({"t": "result"})
    _lm(channel)("to know that all came")

    assert [frame.get("number") for frame in broker.asked[:100]] == list(range(100))
    assert broker.asked[100]["t"] == "result"
