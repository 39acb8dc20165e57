"""Submits the sample job, watches it, and tells how it went."""

from pathlib import Path

from rich.console import Console

from dspy_service.client.blocking import Client
from dspy_service.client.demo.plotting import save_plot, trials_of
from dspy_service.client.demo.sample import sample_payload
from dspy_service.client.demo.telling import tell
from dspy_service.client.demo.watching import watching
from dspy_service.domain.result import RunResponse

TIMEOUT_SECONDS = 600.0
POLL_SECONDS = 0.25

EXIT_OK = 0
EXIT_NO_GAIN = 1


def run_demo(
    base_url: str, *, seed: int = 7, plot_path: Path, console: Console | None = None, client: Client | None = None
) -> int:
    """Run the sample job on a running service.

    Args:
        base_url: Where the service answers.
        seed: Draws the split and the optimizer's choices.
        plot_path: Where the score plot (PNG) goes.
        console: Where to write; standard output by default.
        client: Another way to the service.

    Returns:
        0 when the optimized score on the held-out test rows is higher than the baseline, else 1.

    Raises:
        ClientError: the job failed, or the service cannot be reached.
    """
    console = console or Console(highlight=False)
    with client or Client(base_url) as service:
        payload = sample_payload(seed=seed)
        job_id = service.submit_payload(payload).job_id
        console.print(
            f"Job {job_id}: {payload['optimizer_name']} on {len(payload['dataset'])} sample tickets with the demo "
            "model, a small in-context learner that needs no key and no network."
        )
        with watching(console) as show:
            detail = service.wait(
                job_id,
                on_progress=show,
                poll_seconds=POLL_SECONDS,
                timeout_seconds=TIMEOUT_SECONDS,
                raise_on_failure=True,
            )
        trials = trials_of(service.events(job_id))
    if detail.result is None:
        console.print("The job ended without a result.")
        return EXIT_NO_GAIN
    for line in tell(detail.result):
        console.print(line, markup=False, soft_wrap=True)
    drawn = save_plot(trials, detail.result, plot_path)
    console.print(f"The score plot: {plot_path}" if drawn else "No score plot: matplotlib is not installed.")
    return EXIT_OK if _has_risen(detail.result) else EXIT_NO_GAIN


def _has_risen(result: RunResponse) -> bool:
    before, after = result.baseline_test_metric, result.optimized_test_metric
    return before is not None and after is not None and after > before
