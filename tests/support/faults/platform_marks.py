"""Where tests of faults can run, and on which event loop."""

import sys
from typing import Final

import pytest

on_linux: Final = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which processes are whose")
on_crew: Final = pytest.mark.asyncio(loop_scope="module")
"""For tests that use the crew, which all tests of a file share."""
