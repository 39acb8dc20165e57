"""Names in the path of a route about served programs: malformed ones are simply not found."""

import re
from typing import Annotated

from fastapi import Depends, Path

from dspy_service.domain.serving.errors import ProgramNotFoundError

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,62}"
ALIAS_PATTERN = r"(?!v[0-9]+$)[a-z][a-z0-9._-]{0,62}"
_NUMBER_PATTERN = r"[1-9][0-9]{0,8}"
_NUMBER_SCHEMA = {"pattern": f"^{_NUMBER_PATTERN}$"}

_NAME = re.compile(NAME_PATTERN)
_ALIAS = re.compile(ALIAS_PATTERN)
_NUMBER = re.compile(_NUMBER_PATTERN)

NameText = Annotated[
    str,
    Path(
        description="Of the program: lower case letters, digits, dot, dash, underscore; 63 at most.",
        json_schema_extra={"pattern": f"^{NAME_PATTERN}$"},
    ),
]
AliasText = Annotated[
    str,
    Path(
        description="Of the program's; begins with a letter. `production` is what the bare name means.",
        json_schema_extra={"pattern": f"^{ALIAS_PATTERN}$"},
    ),
]
"""Both unchecked, for routes that answer otherwise."""


async def _program(name: NameText) -> str:
    if not _NAME.fullmatch(name):
        raise ProgramNotFoundError(name)
    return name


async def _alias(alias: AliasText) -> str:
    if not _ALIAS.fullmatch(alias):
        raise ProgramNotFoundError(f"…@{alias}")
    return alias


async def _version(version: Annotated[str, Path(description="Its number.", json_schema_extra=_NUMBER_SCHEMA)]) -> int:
    return _number(version)


async def _other(
    other: Annotated[
        str, Path(description="Number of the version that is compared with it.", json_schema_extra=_NUMBER_SCHEMA)
    ],
) -> int:
    return _number(other)


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ProgramNotFoundError(f"…@{text}")
    return int(text)


TheProgram = Annotated[str, Depends(_program)]
TheAlias = Annotated[str, Depends(_alias)]
TheVersion = Annotated[int, Depends(_version)]
TheOtherVersion = Annotated[int, Depends(_other)]
"""The arguments by which a route asks for them."""
