"""Secrets are taken out of text for people, and ordinary text stays as it is."""

import pytest

from dspy_service.domain.keys import draw_token
from dspy_service.domain.redaction import HIDDEN, redact

CANARY = "c4n4ryC4n4ryc4n4ry77"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: {CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"(b'authorization', b'Bearer {CANARY}')",
        f"Proxy-Authorization: Basic {CANARY}",
        f"redis://user:{CANARY}@host:6379/0",
        f"redis://:{CANARY}@host",
        f"https://{CANARY}@host/v1",
        f"OPENAI_API_KEY={CANARY}",
        f"api_key='{CANARY}'",
        f'"secret_key": "{CANARY}"',
        f"GET /x?api-key={CANARY}&y=1",
        f"password={CANARY}",
        f"sk-{CANARY}",
        f"sk-ant-{CANARY}",
        f"the value {CANARY} itself",
    ],
)
def test_a_secret_is_replaced(text: str) -> None:
    clean = redact(text, [CANARY] if "itself" in text else ())

    assert CANARY not in clean
    assert HIDDEN in clean


def test_our_own_tokens_are_replaced() -> None:
    token = draw_token()

    assert redact(f"key {token} was refused") == f"key {HIDDEN} was refused"


@pytest.mark.parametrize(
    "text",
    [
        "Job 0190a4f2 failed: the metric raised KeyError('answer').",
        "DSPY_SERVICE_REDIS_URL is empty: `dspy-service up` brings its own store.",
        "http://127.0.0.1:8000/docs, a@b.example",
        "The bearer of this message waits.",
        "max_tokens=100 temperature=0.5",
        "authorization failed for job 7",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text
