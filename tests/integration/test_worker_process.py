"""What a worker's process does for itself, however it was started."""

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.platforms import ROOT

_REDIS = "redis://127.0.0.1:1/0"  # nothing is asked of it


def _printed(code: str, **variables: str) -> list[str]:
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**environ, "PYTHONPATH": str(ROOT), "DSPY_SERVICE_REDIS_URL": _REDIS, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_worker_that_was_started_by_hand_asks_nobody_for_prices() -> None:
    code = "import os, workers.celery_app; print(os.environ['LITELLM_LOCAL_MODEL_COST_MAP'])"

    assert _printed(code) == ["True"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can hide a process from others of its user")
def test_a_worker_and_its_forked_children_hide_their_memory_and_environment() -> None:
    code = """
    import ctypes, os
    from dspy_service.config import load_settings
    from workers.lifecycle import Lifecycle

    dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    before, lifecycle = dumpable(), Lifecycle()
    lifecycle.prepare_parent(load_settings(env_file=None))
    if os.fork() == 0:
        print(dumpable(), flush=True)
        os._exit(0)
    os.wait()
    print(before, dumpable())
    """

    printed = _printed(code, DSPY_SERVICE_SANDBOX_MIN_LEVEL="L1", LITELLM_LOCAL_MODEL_COST_MAP="True")

    assert printed == ["0", "1", "0"]
