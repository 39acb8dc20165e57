"""The runner as a process: what it says first, and when it ends."""

import os

from tests.integration.runner import scripted
from tests.integration.runner.session import TERMINAL, body, session


def test_it_says_what_it_is_before_it_sees_a_job() -> None:
    with session() as runner:
        report = runner.until("ready")

    ready = report.of("ready")[0]
    assert ready["pid"] == runner.child.pid
    assert ready["level"] == "L1"
    assert ready["applied"]["fsize"] == 0
    assert {"python", "dspy", "gepa", "optuna"} <= set(ready["versions"])


def test_it_ends_when_its_supervisor_hangs_up() -> None:
    with session() as runner:
        runner.until("ready")
        runner.child.sock.close()

        assert runner.child.process.wait(timeout=5) == 3


def test_it_ends_when_its_supervisor_hangs_up_in_the_middle_of_a_call() -> None:
    with session() as runner:
        runner.order(body("miprov2"), scripted.rows(20), roles=["task", "prompt"], threads=2)
        runner.until("status")
        runner.child.sock.close()

        assert runner.child.process.wait(timeout=5) == 3


def test_it_refuses_frames_that_make_no_sense() -> None:
    with session() as runner:
        runner.send({"t": "rows", "rows": [], "last": True})
        report = runner.until(*TERMINAL)

    assert report.exit_code == 4


def test_it_runs_one_job_and_ends_well() -> None:
    with session() as runner:
        runner.order(body("labeled_few_shot"), scripted.rows(20), roles=["task", "prompt"], threads=2)
        report = runner.until()

    assert report.of("result")
    assert report.exit_code == 0
    assert runner.child.process.returncode == os.EX_OK


def test_two_runners_at_once_keep_their_jobs_apart() -> None:
    with session() as one, session() as other:
        for number, runner in enumerate((one, other)):
            metric = f"def metric(gold, pred, trace=None):\n    print('job {number}')\n    return 1.0\n"
            spec = body("labeled_few_shot", metric_code=metric)
            runner.order(spec, scripted.rows(20), roles=["task", "prompt"], threads=2)
        reports = [runner.until(*TERMINAL) for runner in (one, other)]

    for number, report in enumerate(reports):
        printed = {entry["message"] for entry in report.events("log") if entry["logger"] == "stdout"}
        assert printed == {f"job {number}"}
