"""The entries of a journal at hand."""

import contextlib
from collections.abc import Iterator

import pytest

from workers.lm.kept_answers import KeptAnswers

_A, _B, _C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def kept() -> Iterator[KeptAnswers]:
    answers = KeptAnswers(1 << 30)
    yield answers
    answers.close()


def test_a_text_is_found_by_its_key(kept: KeptAnswers) -> None:
    kept.add(_A, b"first")
    kept.add(_B, b"second")

    found = [kept.find(key) for key in (_A, _B, _C)]

    assert [text for place in found if place for text in place[1:]] == [b"first", b"second"]
    assert found[2] is None
    assert len(kept) == 2


def test_the_first_text_of_a_key_stands(kept: KeptAnswers) -> None:

    assert kept.add(_A, b"first")
    assert not kept.add(_A, b"second")
    assert kept.find(_A) == (0, b"first")


def test_places_rise(kept: KeptAnswers) -> None:
    kept.add(_A, b"first")
    end = kept.end
    kept.add(_B, b"second")

    assert kept.find(_A)[0] < end == kept.find(_B)[0] < kept.end


def test_room_counts_texts_and_what_the_index_takes() -> None:
    with contextlib.closing(KeptAnswers(1000)) as kept:
        assert not kept.has_room(b"x" * 1000)
        assert kept.has_room(b"x" * 300)
        kept.add(_A, b"x" * 300)
        assert not kept.has_room(b"x" * 300)


def test_more_than_fits_into_memory_is_found_too(kept: KeptAnswers) -> None:
    texts = {f"{number:064x}": bytes([number]) * (1 << 20) for number in range(20)}
    for key, text in texts.items():
        kept.add(key, text)

    found = {key: kept.find(key)[1] for key in texts}

    assert found == texts
    assert kept._file._rolled


def test_nothing_is_found_after_the_end(kept: KeptAnswers) -> None:
    kept.add(_A, b"first")

    kept.close()

    assert kept.find(_A) is None
