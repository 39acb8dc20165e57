"""The house rules that no linter knows."""

import re
import tomllib

import pytest

from tests.architecture.files import ROOT, project_files, texts

MAX_LINES = 300
NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
# Put together from pieces, so that this file does not find itself.
ADDRESSES = re.compile("|".join(["pypi" + r"\.org", "python" + "hosted", "index" + "-url="]))
MACHINE_PATHS = re.compile("|".join("(?<![\\w.])/" + top for top in ("work/", "root/")))
UNFINISHED = re.compile(
    "|".join(["TO" + "DO", "FIX" + "ME", "raise NotImplemented" + "Error", "pragma: " + "no cover"])
)


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in project_files()
        if path.suffix == ".py"
    }

    too_long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}

    assert len(lengths) > 50
    assert too_long == {}


def test_every_module_has_a_name_that_says_something() -> None:
    nameless = [path for path in project_files() if path.suffix == ".py" and NAMELESS & {path.stem, path.parent.name}]

    assert nameless == []


@pytest.mark.parametrize("pattern", [ADDRESSES, MACHINE_PATHS], ids=["package index", "machine path"])
def test_nothing_committed_names_a_package_index_or_a_path_of_one_machine(pattern: re.Pattern[str]) -> None:
    found = [(name, hit.group()) for name, text in texts() for hit in [pattern.search(text)] if hit]

    assert found == []


def test_nothing_is_left_unfinished() -> None:
    found = [(name, hit.group()) for name, text in texts() if name.endswith(".py") for hit in UNFINISHED.finditer(text)]

    assert found == []


def test_every_ignore_gives_its_code_and_its_reason() -> None:
    ignores = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?P<rest>.*)$", re.MULTILINE)
    reasoned = re.compile(r"^(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|\[[a-z-]+(?:,\s*[a-z-]+)*\])\s+(?:-|#)+\s+\S+")

    bare = [
        (name, hit.group())
        for name, text in texts()
        if name.endswith(".py") and name != "tests/architecture/test_shape.py"
        for hit in ignores.finditer(text)
        if not reasoned.match(hit["rest"])
    ]

    assert bare == []


def test_the_lock_files_carry_hashes_for_every_package() -> None:
    for name in ("requirements.lock", "deploy/requirements.lock"):
        lock = (ROOT / name).read_text(encoding="utf-8")

        pinned = re.split(r"^(?=\S+==)", lock, flags=re.MULTILINE)[1:]

        assert len(pinned) > 50, name
        assert [entry.split()[0] for entry in pinned if "--hash=sha256:" not in entry] == [], name


def test_the_lock_has_everything_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    names = {re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower() for requirement in asked} - {project["name"]}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")

    missing = {name for name in names if not re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE)}

    assert len(names) > 30
    assert missing == set()
