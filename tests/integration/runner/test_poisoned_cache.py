"""A disk cache of DSPy, which unpickles what it reads, is never opened by a runner."""

import hashlib
import os
from pathlib import Path

import dspy
import pytest
from dspy.clients.cache import Cache

from tests.integration.runner import scripted
from tests.integration.runner.session import TERMINAL, Session, body
from workers.sandbox.launch import launch

SPY = """
import os

def metric(gold, pred, trace=None):
    print("CACHE", dspy.cache.enable_disk_cache, dspy.cache.enable_memory_cache, os.environ.get("DSPY_CACHEDIR"))
    return 1.0
"""


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        path.name: f"{path.stat().st_mtime_ns} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    """A folder with a cache in it, as an earlier process of somebody else may have left it."""
    cache = Cache(True, False, str(tmp_path / "cache"), 10**7, 10)
    cache.put({"model": "openai/scripted"}, dspy.Prediction(label="poison"))
    cache.disk_cache.close()
    return tmp_path / "cache"


def test_the_cache_of_the_environment_is_not_opened(cache_folder: Path) -> None:
    before = fingerprints(cache_folder)
    environ = {**os.environ, "DSPY_CACHEDIR": str(cache_folder), "HOME": str(cache_folder.parent)}
    child = launch("L1", environ=environ)
    try:
        runner = Session(child)
        runner.order(body("labeled_few_shot", metric_code=SPY), scripted.rows(10), roles=["task", "prompt"], threads=2)
        report = runner.until(*TERMINAL)
    finally:
        child.kill()

    lines = {line for data in report.events("log") for line in str(data["message"]).splitlines()}
    assert report.result
    assert {line for line in lines if "CACHE" in line} == {"CACHE False False /nonexistent"}
    assert before
    assert fingerprints(cache_folder) == before
