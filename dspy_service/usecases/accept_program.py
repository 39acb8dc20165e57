"""Decides whether what a runner calls its program may be stored."""

import dataclasses
from collections.abc import Mapping

from dspy_service.domain import artifact_paths as paths
from dspy_service.domain.job import JobStatus
from dspy_service.domain.program_state import ProgramStateError, check_program_state, parse, recorded_fields
from dspy_service.domain.supervision import RunReport

REFUSED = "artifact_refused"


def accept_program(report: RunReport) -> RunReport:
    """Return the report, or what becomes of it when its program is refused.

    The state is checked as data. The pickle is never looked into: it is opaque bytes to everyone but a sandbox.

    Returns:
        The same report when its files are in order or it is a failure; a failure of kind ``artifact_refused`` instead
        of a success; the same without files instead of a cancelled attempt.
    """
    if report.status is JobStatus.FAILED or (report.status is JobStatus.CANCELLED and not report.files):
        return report
    problem = program_problem(report.files)
    if problem is None:
        return report
    if report.status is JobStatus.CANCELLED:
        return dataclasses.replace(report, files={})
    message = f"The runner's program was not stored: {problem}"
    return RunReport.failed(REFUSED, message, usage=report.usage, partial=report.result)


def program_problem(files: Mapping[str, bytes]) -> str | None:
    """Return why these files of a runner must not be stored, as half a sentence; None when they may be."""
    missing = [name for name in paths.PROGRAM_FILES if name not in files]
    if missing:
        return f"it sent no {missing[0]}."
    try:
        fields = recorded_fields(parse(files[paths.METADATA], paths.METADATA))
        check_program_state(files[paths.PROGRAM_STATE], fields)
    except ProgramStateError as error:
        return str(error)
    return None
