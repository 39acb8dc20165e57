"""Plays the worker: launches a runner, submits the payload, and prints what came back.

Run as ``python -m tests.integration.containment.driver`` under the user and the restrictions that a worker has; the
order comes as JSON on standard input, the answer goes as JSON to standard output.
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.runner import scripted
from tests.integration.runner.session import TERMINAL, Session, body
from workers.sandbox.launch import launch
from workers.sandbox.levels import best_level, shortfalls

PAYLOADS = Path(__file__).with_name("payloads")


def main() -> None:
    """Do what the order says."""
    order = json.load(sys.stdin)
    if order.get("level") == "L1" and os.geteuid() == 0:
        sys.exit("Attacks that nothing stops are not run as root: they would work.")
    if order.get("only_level"):
        offer = best_level(environ=os.environ)
        answer: dict[str, Any] = {"level": offer.level, "missing": offer.missing}
    else:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as victim:
            try:
                answer = _attacked(order, victim)
                answer["victim_lives"] = victim.poll() is None
            finally:
                victim.kill()
    json.dump(answer, sys.stdout)


def _attacked(order: dict[str, Any], victim: "subprocess.Popen[bytes]") -> dict[str, Any]:
    source = Path(launch.__code__.co_filename)
    facts = {**order["facts"], "victim": victim.pid, "source": str(source), "is_control": order["level"] == "L1"}
    spec = body("labeled_few_shot", signature_code=payload(order["parts"], facts))
    child = launch(order["level"], environ=os.environ)
    try:
        session = Session(child)
        session.order(spec, scripted.rows(20), roles=["task", "prompt"], threads=2)
        with contextlib.suppress(ConnectionError):  # it died before it read the job
            session.until(*TERMINAL, seconds=order.get("seconds", 40))
        report = session.report
        if report.exit_code is None:
            report.exit_code = child.process.wait(timeout=20)
        printed = [entry["message"] for entry in report.events("log") if entry["logger"] == "stdout"]
        applied = report.of("ready")[0]["applied"] if report.of("ready") else {}
        return {
            "outcomes": [json.loads(line) for text in printed for line in text.splitlines() if line.startswith("[")],
            "applied": applied,
            "short": shortfalls(order["level"], applied),
            "failure": report.failure if report.of("failure") else None,
            "ended_with": report.exit_code,
            "stderr": (child.process.stderr.read() if child.process.stderr else b"").decode()[-2000:],
        }
    finally:
        child.kill()


def payload(parts: list[str], facts: dict[str, Any]) -> str:
    """Put the submitted source together; the facts stand where the prelude names their type."""
    text = "\n".join((PAYLOADS / f"{part}.py").read_text(encoding="utf-8") for part in parts)
    return text.replace("CANARY: dict", f"CANARY = json.loads({json.dumps(facts)!r})", 1)


if __name__ == "__main__":
    main()
