"""The level is what was really applied: it falls where something is missing, says so, and nothing runs below it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dspy_service.up.binding import free_port
from tests.integration.containment.places import HERE, PLACES, ROOT, Place, require
from tests.integration.containment.test_attacks import PARTS
from tests.integration.runner import scripted
from tests.integration.runner.session import SIGNATURE, TERMINAL, body, session
from workers.sandbox.levels import best_level

DEPRIVED = [sys.executable, "-m", "tests.integration.containment.deprived"]
SENTENCES = {"landlock": "no Landlock", "seccomp": "no seccomp"}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has Landlock and seccomp")


@on_linux
def test_this_machine_offers_level_two() -> None:
    offer = best_level(environ=os.environ)

    if offer.level != "L2" and "CI" not in os.environ:
        pytest.skip(f"this machine offers {offer.level} only: {' '.join(offer.missing)}")
    assert (offer.level, offer.missing) == ("L2", ())


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name.replace(" ", "_"))
def test_every_place_offers_level_two(place: Place) -> None:
    require(place)

    offered = place.ask({"only_level": True})

    assert offered == {"level": "L2", "missing": []}


@on_linux
@pytest.mark.parametrize("lost", ["landlock", "seccomp", "landlock,seccomp"])
def test_a_kernel_without_it_offers_level_one_and_says_what_is_missing(lost: str) -> None:
    offered = HERE.ask({"only_level": True}, before=[*DEPRIVED, lost])

    assert offered["level"] == "L1"
    assert len(offered["missing"]) == len(lost.split(","))
    assert all(SENTENCES[name] in " ".join(offered["missing"]) for name in lost.split(","))


@pytest.mark.parametrize("lost", ["landlock", "seccomp"])
def test_a_runner_that_cannot_confine_itself_ends_before_it_takes_a_job(lost: str) -> None:
    require(HERE)

    answer = HERE.ask({"level": "L2", "facts": {}, "parts": PARTS}, before=[*DEPRIVED, lost])

    assert (answer["applied"], answer["outcomes"], answer["ended_with"]) == ({}, [], 5)
    assert "The kernel refused" in answer["stderr"]


@on_linux
def test_a_factory_that_starts_a_thread_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "restless.py").write_text(
        "import threading, dspy\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "Make = dspy.Predict\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with session(level="L2", factories=["restless.Make"]) as runner:
        report = runner.until("ready")
        said = runner.child.process.stderr.read().decode()

    assert (report.of("ready"), report.exit_code) == ([], 5)
    assert "1 threads were started before the confinement" in said


@on_linux
@pytest.mark.parametrize("registered", [True, False])
def test_an_operators_module_is_imported_before_its_folder_is_closed(
    registered: bool,  # noqa: FBT001  # the case
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "shop.py").write_text("import dspy\n\nRouter = dspy.Predict\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = body("labeled_few_shot", signature_code=f"import shop\n{SIGNATURE}")

    with session(level="L2", factories=["shop.Router"] if registered else []) as runner:
        runner.order(spec, scripted.rows(20), roles=["task", "prompt"], threads=2)
        report = runner.until(*TERMINAL)

    assert bool(report.of("result")) == registered
    if not registered:
        assert "No module named 'shop'" in report.failure["message"]


@on_linux
def test_a_platform_that_cannot_confine_says_so_and_stops(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DSPY_SERVICE_")},
        "DSPY_SERVICE_PORT": str(free_port("127.0.0.1")),
        "DSPY_SERVICE_DATA_DIR": str(tmp_path / "data"),
        "DSPY_SERVICE_ARTIFACTS_URL": str(tmp_path / "artifacts"),
    }

    done = subprocess.run(  # noqa: S603  # our own program
        [*DEPRIVED, "landlock", sys.executable, "main.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 1
    assert "reaches sandbox level L2, only L1" in done.stderr
    assert "The kernel offers no Landlock" in done.stderr
