"""Two versions differ in what makes them answer otherwise, and each difference is shown."""

from datetime import UTC, datetime
from typing import Any

from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.domain.serving.version_difference import Demo, VersionDifference, compare_versions
from dspy_service.domain.spec import ModelSettings
from tests.support.served_programs import a_field, a_new_version, an_interface

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEMO: Demo = {"question": "2 + 2", "answer": "4"}
OTHER_DEMO: Demo = {"question": "1 + 1", "answer": "2"}


def a_version(number: int = 1, **changes: Any) -> ProgramVersion:  # noqa: ANN401  # fields by name
    return ProgramVersion.model_validate({**dict(a_new_version(**changes)), "version": number, "created_at": NOW})


def difference(
    after: ProgramVersion, *, before: ProgramVersion | None = None, demos: tuple[list[Demo], list[Demo]] = ([], [])
) -> VersionDifference:
    return compare_versions(before or a_version(), after, demos_before=demos[0], demos_after=demos[1])


def test_versions_that_answer_alike_are_equal_whatever_they_scored() -> None:
    found = difference(a_version(2, digest="b", job_id="j2", optimized_score=0.75), demos=([DEMO], [dict(DEMO)]))

    assert found.is_equal
    assert (found.instructions, found.demos, found.fields, found.settings) == (None, None, [], {})
    assert found.optimized_score.after == 0.75
    assert found.optimized_score.difference is None


def test_scores_are_subtracted_where_both_are_known() -> None:
    found = difference(a_version(2, optimized_score=0.75), before=a_version(optimized_score=0.5))

    assert found.optimized_score.difference == 0.25
    assert found.baseline_score.difference is None


def test_instructions_are_shown_as_a_diff_of_lines() -> None:
    found = difference(
        a_version(2, interface=an_interface(instructions="Same.\nNew.")),
        before=a_version(interface=an_interface(instructions="Same.\nOld.")),
    )

    assert not found.is_equal
    assert found.instructions is not None
    assert found.instructions.diff.splitlines()[-3:] == [" Same.", "-Old.", "+New."]


def test_demonstrations_come_and_go() -> None:
    found = difference(a_version(2), demos=([DEMO, OTHER_DEMO], [OTHER_DEMO, {"question": "0", "answer": "0"}]))

    assert not found.is_equal
    assert found.demos is not None
    assert (found.demos.count_before, found.demos.count_after) == (2, 2)
    assert (found.demos.added, found.demos.removed) == ([{"question": "0", "answer": "0"}], [DEMO])


def test_the_order_of_demonstrations_and_of_their_fields_is_no_difference() -> None:
    turned: Demo = dict(reversed(DEMO.items()))

    found = difference(a_version(2), demos=([DEMO, OTHER_DEMO], [OTHER_DEMO, turned]))

    assert found.is_equal


def test_a_demonstration_that_stands_twice_is_a_difference() -> None:
    found = difference(a_version(2), demos=([DEMO], [DEMO, DEMO]))

    assert found.demos is not None
    assert (found.demos.added, found.demos.count_after) == ([], 2)


def test_fields_come_go_and_change() -> None:
    before = an_interface(a_field("question"), a_field("hint"), a_field("answer", "output"))
    after = an_interface(a_field("question"), a_field("answer", "output", "int"), a_field("why", "output"))

    found = difference(a_version(2, interface=after), before=a_version(interface=before))

    assert [(change.name, change.kind) for change in found.fields] == [
        ("hint", "removed"),
        ("answer", "changed"),
        ("why", "added"),
    ]
    assert found.fields[0].after is None
    assert found.fields[2].before is None


def test_settings_are_shown_under_the_names_of_the_request() -> None:
    found = difference(a_version(2, lm=ModelSettings(name="openai/gpt-4o-mini"), adapter="json", module_name="cot"))

    assert set(found.settings) == {"model_config", "adapter", "module_name"}
    assert (found.settings["adapter"].before, found.settings["adapter"].after) == ("chat", "json")
