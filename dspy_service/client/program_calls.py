"""The HTTP exchanges about served programs, as values."""

import json
from collections.abc import Mapping
from urllib.parse import quote

from dspy_service.client.calls import Call, answer_of, nothing
from dspy_service.client.errors import SubmissionError
from dspy_service.domain.serving.program import Alias
from dspy_service.domain.serving.program_views import ProgramList, ProgramView, VersionList, VersionView
from dspy_service.domain.serving.version_difference import VersionDifference


def deploy(name: str, body: Mapping[str, object], *, idempotency_key: str) -> Call[VersionView]:
    """Make a version; the key makes it safe to send twice.

    Raises:
        SubmissionError: the body holds something that JSON does not, such as NaN.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError, half a surrogate pair, is one too
        message = f"The program cannot be written as JSON: {error}."
        raise SubmissionError(message) from error
    path = _path(name, "versions")
    return Call("POST", path, answer_of(VersionView), content=content, headers=headers, answers=frozenset({200, 201}))


def programs(params: Mapping[str, str | int]) -> Call[ProgramList]:
    """Ask for a page of programs."""
    return Call("GET", "/programs", answer_of(ProgramList), params=params)


def program(name: str) -> Call[ProgramView]:
    """Ask for a program and its aliases."""
    return Call("GET", _path(name), answer_of(ProgramView))


def versions(name: str, params: Mapping[str, str | int]) -> Call[VersionList]:
    """Ask for a page of versions."""
    return Call("GET", _path(name, "versions"), answer_of(VersionList), params=params)


def version(name: str, number: int) -> Call[VersionView]:
    """Ask for one version."""
    return Call("GET", _path(name, "versions", str(number)), answer_of(VersionView))


def compare(name: str, before: int, after: int) -> Call[VersionDifference]:
    """Ask what changed between two versions."""
    return Call("GET", _path(name, "versions", str(before), "compare", str(after)), answer_of(VersionDifference))


def retire(name: str, number: int) -> Call[VersionView]:
    """Let no new run use a version."""
    return Call("POST", _path(name, "versions", str(number), "retire"), answer_of(VersionView))


def delete_version(name: str, number: int) -> Call[None]:
    """Delete a retired version."""
    return Call("DELETE", _path(name, "versions", str(number)), nothing, answers=frozenset({204}))


def delete(name: str) -> Call[None]:
    """Delete a program with all its versions."""
    return Call("DELETE", _path(name), nothing, answers=frozenset({204}))


def alias(name: str, alias_name: str) -> Call[Alias]:
    """Ask where an alias stands."""
    return Call("GET", _path(name, "aliases", alias_name), answer_of(Alias))


def move_alias(name: str, alias_name: str, number: int, *, if_revision: int | None) -> Call[Alias]:
    """Point an alias at a version."""
    headers = {"Content-Type": "application/json", **_seen(if_revision)}
    content = json.dumps({"version": number}).encode()
    return Call("PUT", _path(name, "aliases", alias_name), answer_of(Alias), content=content, headers=headers)


def roll_back(name: str, alias_name: str, *, if_revision: int | None) -> Call[Alias]:
    """Point an alias at the version that it named before."""
    return Call("POST", _path(name, "aliases", alias_name, "rollback"), answer_of(Alias), headers=_seen(if_revision))


def delete_alias(name: str, alias_name: str, *, if_revision: int | None) -> Call[None]:
    """Forget an alias."""
    path = _path(name, "aliases", alias_name)
    return Call("DELETE", path, nothing, headers=_seen(if_revision), answers=frozenset({204}))


def _seen(if_revision: int | None) -> Mapping[str, str]:
    """Return the header that says what the caller saw; 0: nothing."""
    if if_revision is None:
        return {}
    return {"If-Match": f'"{if_revision}"'} if if_revision else {"If-None-Match": "*"}


def _path(name: str, *rest: str) -> str:
    return "/".join(["/programs", *(quote(part, safe="") for part in (name, *rest))])
