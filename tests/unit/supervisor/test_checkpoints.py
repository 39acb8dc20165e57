"""Checkpoints, piece by piece."""

from typing import Any

import pytest

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from tests.support.scripted_child import METADATA, blobs, checkpoint
from workers.supervisor import SupervisionLimits
from workers.supervisor.checkpoints import CheckpointIntake, TakenCheckpoint


def _taken(*frames: Frame, **limits: int) -> list[TakenCheckpoint]:
    intake = CheckpointIntake(SupervisionLimits(**limits))
    taken = []
    for frame in frames:
        if frame["t"] == "blob":
            intake.take_piece(frame)
        else:
            taken.append(intake.complete(frame))
    return taken


def _ending(number: object = 1, score: object = 0.5, **fields: Any) -> Frame:  # noqa: ANN401  # of a frame
    return {**checkpoint(1, 0.5)[-1], "number": number, "score": score, **fields}


def test_a_checkpoint_is_its_files_its_score_and_what_was_measured() -> None:
    (taken,) = _taken(*checkpoint(1, 0.25, baseline_test_metric=0.125))

    assert (taken.number, taken.score, taken.result.baseline_test_metric) == (1, 0.25, 0.125)
    assert taken.files == {
        "program.json": b"{}",
        "program.pkl": b"best 1",
        "metadata.json": METADATA.replace(b" ", b""),
    }


def test_later_ones_follow_and_numbers_may_be_left_out() -> None:
    taken = _taken(*checkpoint(1, 1), *checkpoint(2, 0.5), *checkpoint(7, -3.0))

    assert [(one.number, one.score) for one in taken] == [(1, 1.0), (2, 0.5), (7, -3.0)]
    assert taken[2].files["program.pkl"] == b"best 7"


def test_one_that_was_given_up_in_the_middle_is_forgotten() -> None:
    (taken,) = _taken(*blobs(checkpoint=1, program=b"x" * 60)[:2], *checkpoint(2, 0.5), artifact_bytes=80)

    assert taken.number == 2


@pytest.mark.parametrize(
    "frames",
    [
        [_ending()],
        [*blobs(checkpoint=1)[:2], _ending()],
        [*blobs(checkpoint=2), _ending()],
        [*checkpoint(1, 0.5), _ending()],
        [*checkpoint(1, 0.5), *blobs(checkpoint=1)],
        [*checkpoint(2, 0.5), *blobs(checkpoint=1)],
        [*blobs(checkpoint=2), *blobs(checkpoint=1)],
        blobs(checkpoint=0),
        blobs(checkpoint=-1),
        blobs(checkpoint=True),
        blobs(checkpoint="1"),
        blobs(checkpoint=10_001),
        [*blobs(checkpoint=1)[:1], {**blobs(checkpoint=1)[1], "name": "../x"}],
        [*blobs(checkpoint=1), _ending(score=None)],
        [*blobs(checkpoint=1), _ending(score=True)],
        [*blobs(checkpoint=1), _ending(score="0.5")],
        [*blobs(checkpoint=1), _ending(score=float("inf"))],
        [*blobs(checkpoint=1), _ending(score=10**400)],
        [*blobs(checkpoint=1), _ending(result=None)],
        [*blobs(checkpoint=1), _ending(result={"module_name": 3})],
    ],
)
def test_what_is_no_whole_checkpoint_breaks_the_protocol(frames: list[Frame]) -> None:
    with pytest.raises(ProtocolError):
        _taken(*frames)


def test_each_checkpoint_has_a_largest_size_of_its_own() -> None:
    assert len(_taken(*checkpoint(1, 0.1), *checkpoint(2, 0.2), artifact_bytes=25)) == 2

    with pytest.raises(ProtocolError, match="larger than the 25"):
        _taken(*blobs(checkpoint=1, program=b"x" * 25), artifact_bytes=25)


def test_what_a_checkpoint_says_is_made_safe() -> None:
    (taken,) = _taken(*checkpoint(1, 0.5, metric_name="\x1b[2J"))

    assert taken.result.metric_name == "\\x1b[2J"
