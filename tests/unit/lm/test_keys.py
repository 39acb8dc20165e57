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
    key, _ = call_key("m", {"messages": ["é"]}, 7, 2)

    assert key == "4ecf62f449e165a18036f779a582633eb2b8cda33b6aa1dd7696f7f2f2899868"


@pytest.mark.parametrize(("text", "bytes_per_letter"), [("a", 1), ("é", 2), ("世", 2), ("🎉", 4)])
def test_the_size_is_at_least_what_the_request_takes_in_memory(text: str, bytes_per_letter: int) -> None:
    _, size = call_key("m", {"messages": ["a" * 1000 + text]}, None, 0)

    assert bytes_per_letter * 1000 < size < bytes_per_letter * 1100


def test_a_number_that_is_not_finite_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        call_key("m", {"config": {"temperature": float("inf")}}, None, 0)
