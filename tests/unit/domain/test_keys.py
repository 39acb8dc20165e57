"""A token is recognized without being kept, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.keys import (
    ALL_SCOPES,
    USER_SCOPES,
    ApiKey,
    Scope,
    Token,
    draw_token,
    opens,
    parse_token,
    secret_hmac,
    view_key,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PEPPER = b"p" * 32


def key_of(token: Token, **changes: object) -> ApiKey:
    fields: dict[str, object] = {
        "key_id": token.key_id,
        "tenant": "acme",
        "scopes": USER_SCOPES,
        "name": "ci",
        "created_at": NOW,
        "secret_hmac": secret_hmac(token, PEPPER),
    }
    return ApiKey.model_validate(fields | changes)


@given(
    st.binary(min_size=8, max_size=8), st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=43, max_size=43)
)
def test_every_token_survives_being_written_and_read(key_id: bytes, secret: str) -> None:
    token = Token(key_id.hex(), secret)

    assert parse_token(str(token)) == token


@given(st.text())
def test_what_is_read_as_a_token_is_written_the_same_way(text: str) -> None:
    token = parse_token(text)

    assert token is None or str(token) == text


@given(st.data())
def test_one_changed_character_makes_another_token_or_none(data: st.DataObject) -> None:
    token = draw_token()
    text = str(token)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda each: each != text[place]))

    changed = parse_token(text[:place] + other + text[place + 1 :])

    assert changed is None or not opens(changed, key_of(token), PEPPER)


@pytest.mark.parametrize(
    "text",
    [
        *("", "dsk_", "dsk_.", "Bearer x", "dsk_0123456789abcdef", "dsk_0123456789abcdef."),
        "dsk_0123456789ABCDEF." + "a" * 43,
        "dsk_0123456789abcdef." + "a" * 42,
        "dsk_0123456789abcdef." + "a" * 44,
        "dsk_0123456789abcdef." + "a" * 42 + "é",
        "dsk_0123456789abcdef." + "a" * 43 + "\n",
        " dsk_0123456789abcdef." + "a" * 43,
        "dsk_\u0660123456789abcdef." + "a" * 43,
        "dsk_0123456789abcdef." + "a" * 100_000,
    ],
)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert parse_token(text) is None


def test_drawn_tokens_have_256_random_bits_and_differ() -> None:
    drawn = {str(draw_token()) for _ in range(100)}

    assert len(drawn) == 100
    assert all((token := parse_token(text)) and len(token.secret) == 43 for text in drawn)


def test_a_token_opens_its_own_record_only() -> None:
    mine, other = draw_token(), draw_token()

    assert opens(mine, key_of(mine), PEPPER)
    assert not opens(other, key_of(mine), PEPPER)
    assert not opens(mine, None, PEPPER)
    assert not opens(mine, key_of(mine), b"q" * 32)


def test_a_hash_that_was_moved_to_another_record_opens_nothing() -> None:
    mine, other = draw_token(), draw_token()
    forged = key_of(other, secret_hmac=key_of(mine).secret_hmac)

    assert not opens(Token(other.key_id, mine.secret), forged, PEPPER)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, None),
        ({"expires_at": NOW + timedelta(seconds=1)}, None),
        ({"expires_at": NOW}, "it has expired"),
        ({"revoked_at": NOW}, "it was revoked"),
    ],
)
def test_a_key_opens_until_it_expires_or_is_revoked(changes: dict[str, object], refusal: str | None) -> None:
    assert key_of(draw_token(), **changes).refusal(NOW) == refusal


def test_neither_a_view_nor_a_repr_shows_a_secret() -> None:
    token = draw_token()
    key = key_of(token)

    shown = view_key(key).model_dump_json() + repr(key) + repr(token)

    assert token.secret not in shown
    assert key.secret_hmac not in shown


def test_users_may_do_everything_but_make_keys() -> None:
    assert set(ALL_SCOPES) - set(USER_SCOPES) == {Scope.ADMIN, Scope.METRICS_READ}
