"""No handler of any logger ever sees a secret."""

import io
import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from dspy_service.adapters.redacted_logging import hide_secrets_in_logs, secret_values
from dspy_service.config import Settings
from dspy_service.domain.keys import draw_token

CANARY = "c4n4ryC4n4ryc4n4ry77"


@pytest.fixture(autouse=True)
def _own_factory() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    hide_secrets_in_logs([CANARY])
    yield
    logging.setLogRecordFactory(before)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that a logger with a handler of its own writes, as uvicorn's and Celery's do."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("theirs")
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = True


theirs = logging.getLogger("theirs")


def fail(text: str) -> None:
    raise RuntimeError(text)


SECRETS = [CANARY, f"Bearer {CANARY[::-1]}", str(draw_token()), "redis://:pa55word@host"]


@pytest.mark.parametrize("secret", SECRETS, ids=["a setting", "a header", "a key of ours", "an address"])
def test_a_secret_in_a_message_an_argument_or_an_error_is_gone(secret: str, written: io.StringIO) -> None:
    hidden = secret.removeprefix("Bearer ").removeprefix("redis://:").removesuffix("@host")

    theirs.error("refused %s", secret)
    theirs.error("refused " + secret)  # the message itself is the point
    theirs.error("refused %(what)s", {"what": secret})
    theirs.error("refused %s", RuntimeError(secret))
    try:
        fail(secret)
    except RuntimeError:
        theirs.exception("it failed")

    assert hidden not in written.getvalue()
    assert written.getvalue().count("[redacted]") >= 5
    assert "RuntimeError" in written.getvalue()


def test_a_secret_across_a_message_and_its_argument_is_gone(written: io.StringIO) -> None:
    theirs.warning("Authorization: Bearer %s", "abcdefghijkl")

    assert "abcdefghijkl" not in written.getvalue()


def test_an_access_log_keeps_its_parts() -> None:
    logger = logging.getLogger("uvicorn.access")
    record = logger.makeRecord(
        logger.name,
        logging.INFO,
        "h11.py",
        1,
        '%s - "%s %s HTTP/%s" %d',
        ("::1", "GET", f"/x?api_key={CANARY}", "1.1", 200),
        None,
    )

    assert isinstance(record.args, tuple)
    assert len(record.args) == 5
    assert record.args[4] == 200
    assert CANARY not in record.getMessage()


def test_ordinary_records_stay_as_they_are(written: io.StringIO) -> None:
    theirs.warning("Job %s took %.1f s", "0190a4f2", 1.25)

    assert written.getvalue() == "WARNING Job 0190a4f2 took 1.2 s\n"


def test_a_record_that_cannot_be_formatted_is_left_to_logging() -> None:
    record = theirs.makeRecord("theirs", logging.INFO, "x.py", 1, "%d", ("no number",), None)

    assert record.args == ("no number",)


def test_an_argument_that_is_no_text_is_left_to_logging() -> None:
    class Silent:
        def __str__(self) -> str:
            raise ValueError(CANARY)

    silent = Silent()

    record = theirs.makeRecord("theirs", logging.INFO, "x.py", 1, "%s", (silent,), None)

    assert record.args == (silent,)


def test_values_are_added_and_short_ones_left_alone(written: io.StringIO) -> None:
    hide_secrets_in_logs(["abc", "another-secret"])

    theirs.warning(f"abc another-secret {CANARY}")  # the message itself is the point

    assert written.getvalue() == "WARNING abc [redacted] [redacted]\n"


def test_the_settings_say_which_of_their_values_are_secret() -> None:
    settings = Settings.model_construct(
        secret_key=SecretStr("k" * 32), redis_url="rediss://u:p%40ss@host/0", artifacts_url="s3://key:s3cr3t@host/b"
    )

    assert set(secret_values(settings)) == {"k" * 32, "p%40ss", "p@ss", "s3cr3t"}
