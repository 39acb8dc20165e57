"""The worker's composition root."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dspy_service.config import Settings
from workers.bootstrap import Parent
from workers.slot import Slot


def test_a_slot_is_made_on_the_main_thread_or_not_at_all(tmp_path: Path) -> None:
    settings = Settings(redis_url=f"unix://{tmp_path}/none.sock", data_dir=tmp_path, artifacts_url=str(tmp_path / "a"))
    parent = Parent.prepare(settings)

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(Slot, parent).result()
