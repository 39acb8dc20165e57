"""Which calls of a job share an answer."""

import pytest

from tests.support.lm_calls import request
from workers.lm.keys import call_key


def test_the_order_of_fields_does_not_matter() -> None:
    first = {"messages": [], "config": {"temperature": 1.0, "max_tokens": 5}}
    second = {"config": {"max_tokens": 5, "temperature": 1.0}, "messages": []}

    assert call_key("m", first, None, 0) == call_key("m", second, None, 0)


def test_the_model_that_the_runner_wrote_does_not_matter() -> None:
    first, second = request(), {**request(), "model": "something else"}

    assert call_key("m", first, None, 0) == call_key("m", second, None, 0)


@pytest.mark.parametrize(
    ("alias", "asked", "rollout_id", "candidate"),
    [
        ("other", request(), None, 0),
        ("m", request("other"), None, 0),
        ("m", request(temperature=0.5), None, 0),
        ("m", request(), 1, 0),
        ("m", request(), "1", 0),
        ("m", request(), None, 1),
    ],
)
def test_everything_that_can_change_an_answer_changes_the_key(
    alias: str, asked: dict[str, object], rollout_id: object, candidate: int
) -> None:
    usual = call_key("m", request(), None, 0)

    assert call_key(alias, asked, rollout_id, candidate)[0] != usual[0]


def test_the_key_is_the_same_in_every_process() -> None:
    key, size = call_key("m", {"messages": ["é"]}, 7, 2)

    assert key == "083cbc572ca63fec2bf5f225173e1147dc9e9a6e5b2ad1c14e1ae85b33ed83d4"
    assert size == len('["m",{"messages":["é"]},7,2]'.encode())
