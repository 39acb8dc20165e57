"""The canonical dialect loses nothing."""

import json

from hypothesis import given

from dspy_service.api.dialects.v1 import V1
from dspy_service.domain.errors import ServiceError, SlowReaderError, StoreUnavailableError
from dspy_service.domain.serving.field_texts import FieldTexts
from dspy_service.domain.serving.run import RunError
from dspy_service.domain.serving.run_events import Failed, RunEvent
from dspy_service.domain.serving.run_views import ReaderTrouble, read_event
from tests.support.run_stories import RunStory, as_events, run_stories


def data_of(message: bytes) -> str:
    lines = message.decode().removesuffix("\n\n").split("\n")
    return next(line.removeprefix("data: ") for line in lines if line.startswith("data: "))


@given(run_stories)
def test_what_is_written_is_read_as_it_was(story: RunStory) -> None:
    dialect = V1("run_1")

    read = [read_event(data_of(dialect.encode(event))) for event in story.events]

    assert read == story.events
    assert FieldTexts.of(event.fact for event in read if isinstance(event, RunEvent)).text("answer") == story.answer


@given(run_stories)
def test_a_message_is_three_lines_whatever_its_text_is(story: RunStory) -> None:
    for event in story.events:
        lines = V1("run_1").encode(event).split(b"\n")

        assert [line.partition(b":")[0] for line in lines] == [b"id", b"event", b"data", b"", b""]
        assert lines[0] == f"id: {event.seq}".encode()


def test_a_ping_tells_the_last_number_and_has_none() -> None:
    dialect = V1("run_1")
    (event,) = as_events([Failed(error=RunError(code="internal", message="No."), partial=False)])
    dialect.encode(event)

    ping = dialect.ping()

    assert b"id:" not in ping
    assert json.loads(data_of(ping))["last_seq"] == 1


def test_trouble_of_a_reader_says_whether_it_may_come_back() -> None:
    troubles: dict[ServiceError, tuple[str, bool]] = {
        SlowReaderError("Too slow."): ("slow_consumer", True),
        StoreUnavailableError("run log"): ("store_unavailable", True),
        ServiceError("Odd."): (ServiceError.code, False),
    }
    for error, expected in troubles.items():
        message = V1("run_1").trouble(error, "r1")

        read = read_event(data_of(message))

        assert isinstance(read, ReaderTrouble)
        assert (read.error.code, read.error.retryable, read.request_id) == (*expected, "r1")
        assert b"id:" not in message
