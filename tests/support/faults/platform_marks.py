"""Where tests of faults can run."""

import sys
from typing import Final

import pytest

on_linux: Final = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see which processes are whose")
