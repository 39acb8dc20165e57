"""What is changed in DSPy before a job runs."""

import threading

import pytest
from dspy.utils.parallelizer import ParallelExecutor

from workers.runner.boot import end_pools_with_their_evaluation
from workers.runner.failures import Cancelled

THREADS = 2
ROWS = 500


class Executor(ParallelExecutor):  # type: ignore[misc]  # DSPy is untyped
    """One of our own, so that the change stays in this test."""


def test_a_pool_begins_no_row_after_a_job_end_has_left_it() -> None:
    end_pools_with_their_evaluation(Executor)
    left, lock, begun, pool = threading.Event(), threading.Lock(), [], set()

    def row(number: int) -> int:
        with lock:
            begun.append(number)
            pool.add(threading.current_thread())
        if number == 0:
            raise Cancelled
        left.wait(timeout=5)
        return number

    with pytest.raises(Cancelled):
        Executor(num_threads=THREADS, disable_progress_bar=True).execute(row, range(ROWS))
    left.set()
    for thread in pool:
        thread.join(timeout=5)

    assert not any(thread.is_alive() for thread in pool)
    assert len(begun) <= THREADS + 1
