"""Finds where JSON is nested too deeply, when it is so deep that no parser reads it."""

import re

_MARKS = re.compile(r'"((?:[^"\\]|\\.)*)"|[\[\]{},]', re.DOTALL)


def path_beyond(depth: int, text: str) -> str:
    """Return the dotted path of the first list or object that stands deeper than ``depth`` levels.

    Args:
        depth: Levels that are allowed; the outermost value is the first.
        text: JSON that is well-formed up to that place; a parser has got further than it.
    """
    path: list[str | int] = []  # where we are in each list or object that is open
    for found in _MARKS.finditer(text):
        mark = found[0]
        if mark in "[{":
            if len(path) == depth:
                break
            path.append(0 if mark == "[" else "")
        elif mark in "]}":
            path.pop()
        elif isinstance(path[-1], int):
            path[-1] += mark == ","
        elif mark != ",":  # a key, or a text that the next key replaces
            path[-1] = found[1]
    return ".".join(str(part) for part in path)
