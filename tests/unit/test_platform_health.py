"""The platform is ready when its API says that jobs and runs would be taken."""

from typing import Any

import httpx
import pytest

from dspy_service.up.platform import ask_health


def asked(status: int, facts: object) -> bool:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json=facts))
    with httpx.Client(transport=transport, base_url="http://here") as http:
        return ask_health(http).ready


@pytest.mark.parametrize(
    ("status", "facts", "is_ready"),
    [
        (200, {"serving": {"live": 1}}, True),
        (200, {"serving": {"live": 0}}, False),
        (200, {"serving": None}, True),
        (200, {}, True),
        (200, ["not an object"], True),
        (503, {"serving": {"live": 1}}, False),
    ],
    ids=["both", "nobody serves", "not said", "told to a stranger", "odd", "no worker for jobs"],
)
def test_it_is_ready_when_both_kinds_of_workers_are(status: int, facts: Any, is_ready: bool) -> None:  # noqa: ANN401, FBT001 - of a table
    assert asked(status, facts) is is_ready


def test_an_api_that_is_not_up_yet_is_not_ready() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://here") as http:
        assert not ask_health(http).ready
