"""The pace of calls, from its first second on."""

import pytest

from workers.lm.call_flow import CallFlow


@pytest.mark.parametrize("seconds", [1, 5, 60])
def test_a_steady_pace_is_seen_after_however_long(seconds: int) -> None:
    flow = CallFlow(100.0)

    for call in range(seconds * 20):
        flow.count(100.0 + call / 20)

    assert flow.per_second(100.0 + seconds) == pytest.approx(20, rel=0.1)


def test_a_pace_is_forgotten_when_no_call_comes() -> None:
    flow = CallFlow(0.0)
    for call in range(100):
        flow.count(call / 10)

    assert flow.per_second(10.0) == pytest.approx(10, rel=0.1)
    assert flow.per_second(60.0) < 0.1
