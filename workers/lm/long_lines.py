"""Lets DSPy's reader of server-sent events take a line as long as an answer may be.

It stops at 64 KiB by itself, and some servers send a whole answer in one piece.
"""

from functools import partial

from dspy._vendor.lm15.providers import async_base  # not re-exported by dspy.lm15
from dspy._vendor.lm15.sse import aparse_sse  # the same


def allow_long_lines(max_bytes: int) -> None:
    """Let lines and events be so long, in this process; what is read of one answer is bounded by its transport."""
    async_base.aparse_sse = partial(aparse_sse, max_line_bytes=max_bytes, max_event_bytes=max_bytes)
