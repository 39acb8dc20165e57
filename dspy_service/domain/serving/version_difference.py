"""What two versions of a program differ in."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import pydantic_core
from pydantic import Field, JsonValue

from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.interface import ProgramField
from dspy_service.domain.serving.program import ProgramVersion

Demo = dict[str, JsonValue]


class Change(Schema):
    """A setting that is another one."""

    before: JsonValue
    after: JsonValue


class InstructionsChange(Schema):
    """Instructions that are others; of several predictors, those of each under its name."""

    before: str
    after: str
    diff: Annotated[str, Field(description="The same as a unified diff of lines.")]


class DemosChange(Schema):
    """Demonstrations in the prompt, as a set: their order is not compared."""

    count_before: int
    count_after: int
    added: list[Demo]
    removed: list[Demo]


class FieldChange(Schema):
    """A field that came, went, or is described in another way."""

    name: str
    kind: Literal["added", "removed", "changed"]
    before: ProgramField | None
    after: ProgramField | None


class ScoreChange(Schema):
    """Scores of one kind; comparable only when the jobs had the same test rows."""

    before: float | None
    after: float | None
    difference: Annotated[float | None, Field(description="After minus before; null when one of them is not known.")]


class VersionDifference(Schema):
    """What changed from one version to another; null or empty: nothing did."""

    program: str
    before: int
    after: int
    is_equal: Annotated[
        bool,
        Field(description="Whether all but scores and origin is equal; code of confined programs is not compared."),
    ]
    instructions: InstructionsChange | None
    demos: DemosChange | None
    fields: list[FieldChange]
    baseline_score: ScoreChange
    optimized_score: ScoreChange
    settings: Annotated[
        dict[str, Change], Field(description="`model_config`, `module_name`, `module_kwargs`, `adapter`, `chat`.")
    ]


def compare_versions(
    before: ProgramVersion, after: ProgramVersion, *, demos_before: Sequence[Demo], demos_after: Sequence[Demo]
) -> VersionDifference:
    """Compare two versions of one program with their demonstrations."""
    instructions = _instructions(before.interface.instructions, after.interface.instructions)
    demos = _demos(demos_before, demos_after)
    fields = _fields(before.interface.fields, after.interface.fields)
    settings = _settings(before, after)
    return VersionDifference(
        program=after.program,
        before=before.version,
        after=after.version,
        is_equal=instructions is None and demos is None and not fields and not settings,
        instructions=instructions,
        demos=demos,
        fields=fields,
        baseline_score=_score(before.baseline_score, after.baseline_score),
        optimized_score=_score(before.optimized_score, after.optimized_score),
        settings=settings,
    )


def _instructions(before: str, after: str) -> InstructionsChange | None:
    if before == after:
        return None
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    return InstructionsChange(before=before, after=after, diff="\n".join(lines))


def _demos(before: Sequence[Demo], after: Sequence[Demo]) -> DemosChange | None:
    known_before, known_after = _by_text(before), _by_text(after)
    if known_before.keys() == known_after.keys() and len(before) == len(after):
        return None
    return DemosChange(
        count_before=len(before),
        count_after=len(after),
        added=[demo for text, demo in known_after.items() if text not in known_before],
        removed=[demo for text, demo in known_before.items() if text not in known_after],
    )


def _by_text(demos: Sequence[Demo]) -> Mapping[bytes, Demo]:
    return {pydantic_core.to_json(dict(sorted(demo.items()))): demo for demo in demos}


def _fields(before: Sequence[ProgramField], after: Sequence[ProgramField]) -> list[FieldChange]:
    known_before = {field.name: field for field in before}
    known_after = {field.name: field for field in after}
    found = []
    for name in dict.fromkeys([*known_before, *known_after]):
        was, now = known_before.get(name), known_after.get(name)
        if was != now:
            kind: Literal["added", "removed", "changed"] = (
                "added" if was is None else "removed" if now is None else "changed"
            )
            found.append(FieldChange(name=name, kind=kind, before=was, after=now))
    return found


def _score(before: float | None, after: float | None) -> ScoreChange:
    difference = None if before is None or after is None else after - before
    return ScoreChange(before=before, after=after, difference=difference)


_SHOWN = {"lm": "model_config"}


def _settings(before: ProgramVersion, after: ProgramVersion) -> dict[str, Change]:
    names = {"lm", "module_name", "module_kwargs", "adapter", "chat"}
    was, now = (version.model_dump(mode="json", include=names) for version in (before, after))
    shown = {"lm": "model_config"}
    return {
        shown.get(name, name): Change(before=was[name], after=now[name])
        for name in sorted(was)
        if was[name] != now[name]
    }
