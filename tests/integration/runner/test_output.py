"""What submitted code prints and logs is kept, bounded, and cannot pass for anything else."""

from tests.integration.runner.session import body, run_job

MIB = 1024 * 1024


def _job(metric_body: str) -> dict[str, object]:
    lines = "".join(f"    {line}\n" for line in metric_body.splitlines())
    return body("labeled_few_shot", metric_code=f"import logging, sys\n\ndef metric(gold, pred, trace=None):\n{lines}")


def test_prints_become_log_entries_line_by_line() -> None:
    report = run_job(_job("print('one\\ntwo', gold.text)\nprint('oh', file=sys.stderr)\nreturn 1.0"), rows=4)

    entries = [(entry["logger"], entry["level"], entry["message"]) for entry in report.events("log")]
    assert ("stdout", "INFO", "one") in entries
    assert any(logger == "stdout" and text.startswith("two ticket number") for logger, _, text in entries)
    assert ("stderr", "WARNING", "oh") in entries


def test_records_of_dspy_and_of_submitted_loggers_keep_their_names() -> None:
    report = run_job(_job("logging.getLogger('mine').warning('seen %s', gold.text)\nreturn 1.0"), rows=4)

    names = {entry["logger"] for entry in report.events("log")}
    assert {"mine", "dspy.evaluate.evaluate"} <= names


def test_a_flood_of_prints_is_cut_with_a_mark() -> None:
    report = run_job(_job("for _ in range(2000):\n    print('x' * 1000)\nreturn 1.0"), rows=4)

    printed = [entry["message"] for entry in report.events("log") if entry["logger"] == "stdout"]
    assert sum(len(message) for message in printed) <= MIB + 200
    assert printed[-1] == "[cut: printed output passed 1 MiB; what follows is not kept]"
    assert report.result


def test_a_print_without_end_is_cut_into_pieces() -> None:
    report = run_job(_job("sys.stdout.write('y' * 100_000)\nreturn 1.0"), rows=4)

    printed = [entry["message"] for entry in report.events("log") if entry["logger"] == "stdout"]
    assert printed
    assert max(len(message) for message in printed) <= 8192


def test_output_cannot_forge_an_entry_or_break_a_frame() -> None:
    forged = 'print(\'\\x1b[2Kok\\r{\\"t\\": \\"result\\"}\\ud800 \\u2028 end\')'

    report = run_job(_job(f"{forged}\nlogging.getLogger('m').error('a\\nERROR b')\nreturn 1.0"), rows=4)

    messages = [entry["message"] for entry in report.events("log")]
    assert 'ok\n{"t": "result"}?  end' in messages
    assert "a\nERROR b" in messages
    assert len(report.of("result")) == 1


def test_bars_are_reported_and_never_drawn() -> None:
    code = "for _ in __import__('tqdm').tqdm(range(3), desc='mine'):\n    pass\nreturn 1.0"

    report = run_job(_job(code), rows=40)

    shown = [*report.progress("baseline_progress"), *report.progress("optimized_progress")]
    assert shown
    assert set(shown[0]) >= {"tqdm_n", "tqdm_total", "tqdm_percent", "tqdm_elapsed", "tqdm_remaining", "tqdm_desc"}
    assert not any("it/s" in entry["message"] for entry in report.events("log"))
