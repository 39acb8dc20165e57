"""The frames that give a runner its job."""

from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.frames import FrameReader
from dspy_service.domain.spec import JobSpec
from tests.support.claims import claimed
from workers.supervisor import SupervisionLimits
from workers.supervisor.opening import rows_frames, spec_frame


async def test_the_spec_frame_can_be_read_back() -> None:
    _, claim = await claimed()
    registry = Registry()

    (frame,) = FrameReader().feed(
        spec_frame(
            claim,
            module=registry.module("predict"),
            optimizer=registry.optimizer("gepa"),
            roles={"task": {"model": "m"}},
            limits=SupervisionLimits(num_threads=4, frame_bytes=5),
        )
    )

    assert JobSpec.model_validate(frame["spec"]) == claim.spec
    assert frame["module"]["factory"] == registry.module("predict").factory
    assert frame["caps"]["frame_bytes"] == 5
    assert (frame["job_id"], frame["num_threads"], frame["roles"]) == (claim.job.job_id, 4, {"task": {"model": "m"}})


def test_rows_come_in_frames_of_a_megabyte_and_the_last_says_so() -> None:
    rows = [{"text": "x" * 100_000, "n": n} for n in range(25)] + [{"text": "y" * 2_000_000, "n": 25}]

    encoded = list(rows_frames(rows))

    frames = [frame for data in encoded for frame in FrameReader().feed(data)]
    assert [row["n"] for frame in frames for row in frame["rows"]] == list(range(26))
    assert [frame["last"] for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert all(len(data) <= 1 << 20 for data in encoded[:-1])


def test_no_rows_are_one_last_frame() -> None:
    (frame,) = [frame for data in rows_frames([]) for frame in FrameReader().feed(data)]

    assert frame == {"t": "rows", "last": True, "rows": []}
