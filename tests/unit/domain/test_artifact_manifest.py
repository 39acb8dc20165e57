"""A manifest signs every bit of every file, and the place where they stand."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspy_service.domain.artifact_manifest import (
    MAX_MANIFEST_BYTES,
    SignatureError,
    describe,
    encode,
    require_same,
    sign,
    verify,
)

KEY = b"k" * 32
PLACE = {"tenant": "acme", "job_id": "job-1", "fence": 2}
FILES = {"program.pkl": b"\x80\x05opaque", "metadata.json": b'{"a": 1}', "empty": b""}
SIGNED = encode(sign(FILES, key=KEY, sandbox_level="L2", **PLACE))


def test_what_was_signed_is_verified() -> None:
    manifest = verify(SIGNED, key=KEY, **PLACE)

    assert (manifest.schema_version, manifest.sandbox_level) == (1, "L2")
    assert manifest.files == {name: describe(data) for name, data in FILES.items()}


def test_the_same_files_are_signed_the_same_in_any_order() -> None:
    turned = dict(reversed(FILES.items()))

    assert encode(sign(turned, key=KEY, sandbox_level="L2", **PLACE)) == SIGNED


@given(position=st.integers(0, len(SIGNED) - 1), other=st.integers(1, 255))
@settings(max_examples=500)
def test_any_changed_byte_of_a_manifest_is_noticed(position: int, other: int) -> None:
    changed = bytearray(SIGNED)
    changed[position] ^= other

    with pytest.raises(SignatureError):
        verify(bytes(changed), key=KEY, **PLACE)


def test_every_single_flipped_bit_is_noticed() -> None:
    for position in range(len(SIGNED)):
        for bit in range(8):
            changed = bytearray(SIGNED)
            changed[position] ^= 1 << bit
            with pytest.raises(SignatureError):
                verify(bytes(changed), key=KEY, **PLACE)


@given(data=st.binary(max_size=200), change=st.data())
def test_any_changed_byte_of_a_file_is_noticed(data: bytes, change: st.DataObject) -> None:
    kind = change.draw(st.sampled_from(["flip", "append", "cut"] if data else ["append"]))
    changed = bytearray(data)
    if kind == "flip":
        changed[change.draw(st.integers(0, len(data) - 1))] ^= change.draw(st.integers(1, 255))
    elif kind == "append":
        changed.append(change.draw(st.integers(0, 255)))
    else:
        changed.pop()

    require_same(describe(data), describe(data))
    with pytest.raises(SignatureError):
        require_same(describe(data), describe(bytes(changed)))


@pytest.mark.parametrize(
    "elsewhere", [{"tenant": "other"}, {"job_id": "job-2"}, {"fence": 1}, {"tenant": "acmejob-1", "job_id": ""}]
)
def test_a_manifest_is_worth_nothing_in_another_place(elsewhere: dict[str, object]) -> None:
    with pytest.raises(SignatureError, match="another job"):
        verify(SIGNED, key=KEY, **{**PLACE, **elsewhere})


@pytest.mark.parametrize("field", ["schema_version", "tenant", "job_id", "fence", "sandbox_level", "files", "hmac"])
def test_a_manifest_without_one_of_its_fields_is_none(field: str) -> None:
    plain = json.loads(SIGNED)
    del plain[field]

    with pytest.raises(SignatureError):
        verify(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode(), key=KEY, **PLACE)


def test_each_field_is_signed() -> None:
    changes = {"tenant": "b", "job_id": "b", "fence": 3, "sandbox_level": "L1", "files": {}, "schema_version": 2}
    for field, value in changes.items():
        plain = {**json.loads(SIGNED), field: value}
        place = {**PLACE, **({field: value} if field in PLACE else {})}

        with pytest.raises(SignatureError):
            verify(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode(), key=KEY, **place)


def test_another_key_signs_nothing_of_ours() -> None:
    with pytest.raises(SignatureError, match="signature"):
        verify(SIGNED, key=b"x" * 32, **PLACE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"\xff",
        b"[" * 5000,
        SIGNED + b"\n",
        SIGNED.replace(b":", b": "),
        SIGNED.replace(b"{", b'{"fence":9,', 1),
        SIGNED + b" " * MAX_MANIFEST_BYTES,
    ],
)
def test_what_is_not_exactly_a_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(data, key=KEY, **PLACE)
