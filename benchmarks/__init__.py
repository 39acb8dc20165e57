"""Benchmarks: scripts that print the figures of the project, side by side with what they are compared to.

Each is bounded in time and count, starts what it needs on loopback with data of its own, and stops it again::

    python -m benchmarks.submit_latency --help
    python -m benchmarks.compile_overhead --help
    python -m benchmarks.job_list --help
    python -m benchmarks.resume --help
    python -m benchmarks.cancel --help
    python -m benchmarks.budget --help
    python -m benchmarks.chaos --help
    python -m benchmarks.serving --help
    python -m benchmarks.search --help

What they printed last, on which machine, stands in ``RESULTS.md``.
"""
