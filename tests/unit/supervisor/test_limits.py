"""The limits of one job, and how its request lowers them."""

from dspy_service.domain.spec import JobLimits
from workers.supervisor import SupervisionLimits
from workers.supervisor.limits import OWN_THREADS


def test_a_job_without_limits_of_its_own_has_the_operators() -> None:
    limits = SupervisionLimits()

    assert limits.lowered(None) is limits
    assert limits.lowered(JobLimits()) == limits


def test_the_lower_of_two_limits_holds() -> None:
    limits = SupervisionLimits(job_seconds=100, cpu_seconds=100, memory_bytes=1 << 30, threads=100, stall_seconds=100)

    lowered = limits.lowered(
        JobLimits(max_seconds=10, cpu_seconds=200, memory_bytes=1 << 29, threads=200, stall_seconds=20)
    )

    assert (lowered.job_seconds, lowered.cpu_seconds, lowered.memory_bytes) == (10, 100, 1 << 29)
    assert (lowered.threads, lowered.stall_seconds) == (100, 20)


def test_fewer_threads_leave_fewer_for_an_evaluation() -> None:
    lowered = SupervisionLimits(num_threads=32).lowered(JobLimits(threads=24))

    assert lowered.num_threads == 24 - OWN_THREADS
