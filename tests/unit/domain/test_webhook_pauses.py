"""A message that was not heard comes again at the times that the rules name, then never."""

from itertools import pairwise

import pytest

from dspy_service.domain.webhook import RETRY_SECONDS, DeliveryAnswer, pause_seconds


@pytest.mark.parametrize(("tries", "seconds"), list(enumerate(RETRY_SECONDS, start=1)))
def test_each_pause_is_the_named_one_and_a_tenth_more_at_most(tries: int, seconds: float) -> None:
    pauses = [pause_seconds(tries) or 0 for _ in range(50)]

    assert all(seconds <= pause <= 1.1 * seconds for pause in pauses)
    assert len(set(pauses)) > 1


def test_the_pauses_grow_from_seconds_to_a_day() -> None:
    assert (RETRY_SECONDS[0], RETRY_SECONDS[-1]) == (5, 24 * 3600)
    assert all(earlier < later for earlier, later in pairwise(RETRY_SECONDS))


def test_after_the_last_try_there_is_no_pause() -> None:
    assert pause_seconds(len(RETRY_SECONDS)) is not None
    assert pause_seconds(len(RETRY_SECONDS) + 1) is None
    assert pause_seconds(len(RETRY_SECONDS) + 1, retry_after_seconds=60) is None


def test_a_receiver_may_ask_for_a_longer_pause_and_for_no_shorter_one() -> None:
    assert pause_seconds(1, retry_after_seconds=120) == 120
    assert (pause_seconds(2, retry_after_seconds=1) or 0) >= 300


def test_a_receiver_cannot_ask_for_more_than_a_day() -> None:
    assert pause_seconds(1, retry_after_seconds=1e12) == 24 * 3600


@pytest.mark.parametrize(
    ("status", "accepted", "final"),
    [(200, True, False), (299, True, False), (302, False, False), (410, False, True), (500, False, False)],
)
def test_only_success_is_acceptance_and_only_gone_is_final(status: int, accepted: bool, final: bool) -> None:  # noqa: FBT001  # cases
    answer = DeliveryAnswer(status=status)

    assert (answer.is_accepted, answer.is_final) == (accepted, final)


def test_no_answer_is_neither() -> None:
    answer = DeliveryAnswer(status=None, reason="it was not reached")

    assert not answer.is_accepted
    assert not answer.is_final
