"""Landlock: after :func:`restrict`, this thread and all it starts can open only the listed paths, for reading."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

from workers.sandbox.kernel import system_call

# linux/landlock.h
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_FIRST_RIGHTS: Final = (1 << 13) - 1
_RIGHTS_SINCE: Final = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""ABI to the right that came with it: REFER, TRUNCATE, IOCTL_DEV."""
_TCP_SINCE: Final = 4
_SCOPES_SINCE: Final = 6
_BIND_AND_CONNECT_TCP: Final = 3
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3
_RULESET_SIZES: Final = ((_SCOPES_SINCE, 24), (_TCP_SINCE, 16), (1, 8))
"""Bytes of struct landlock_ruleset_attr that a kernel of that ABI knows."""


def abi() -> int:
    """Return the version that this kernel offers; 0: none, or it is not switched on."""
    try:
        return system_call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str]) -> int:
    """Allow reading beneath ``readable`` and nothing else, for good; return the ABI. Needs ``no_new_privs``.

    Paths that do not exist are left out. What is open already stays usable.

    Raises:
        OSError: the kernel refuses, or has no Landlock.
    """
    version = system_call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    attributes = ruleset_attributes(version)
    ruleset = system_call(
        "landlock_create_ruleset", ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    try:
        for path in readable:
            with contextlib.suppress(FileNotFoundError):
                _allow_reading(ruleset, path)
        system_call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def ruleset_attributes(version: int) -> bytes:
    """Return struct landlock_ruleset_attr: every right that this ABI can withhold."""
    rights = _FIRST_RIGHTS
    for since, right in _RIGHTS_SINCE.items():
        rights |= right if version >= since else 0
    whole = struct.pack("=QQQ", rights, _BIND_AND_CONNECT_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS)
    return whole[: next(size for since, size in _RULESET_SIZES if version >= since)]


def _allow_reading(ruleset: int, path: str) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | _READ_DIR if os.path.isdir(path) else _READ_FILE  # noqa: PTH112  # Path is no shorter
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, beneath))
        system_call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)
