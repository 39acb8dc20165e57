"""What the parts print while they start is held back, and lost by nobody."""

from dspy_service.up.output import HeldOutput


def test_lines_wait_for_the_release_and_keep_their_order() -> None:
    seen: list[str] = []
    output = HeldOutput(seen.append)
    output("first")
    output("second")
    before = list(seen)

    output.release()
    output("third")

    assert before == []
    assert seen == ["first", "second", "third"]


def test_a_second_release_repeats_nothing() -> None:
    seen: list[str] = []
    output = HeldOutput(seen.append)
    output("once")

    output.release()
    output.release()

    assert seen == ["once"]
