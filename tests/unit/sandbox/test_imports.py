"""What is imported before a process closes its files to itself."""

import sys
from pathlib import Path

import pytest

from dspy_service.domain.errors import ConfigurationError
from workers.sandbox.imports import forget_unreadable, import_factories, resolve


@pytest.fixture(autouse=True)
def _same_path_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_dotted_path_names_whatever_can_be_imported() -> None:
    assert resolve("pathlib.Path.cwd") == Path.cwd


@pytest.mark.parametrize("path", ["pathlib.Nothing", "no_such_module.thing", "nothing"])
def test_a_path_that_names_nothing_is_told(path: str) -> None:
    with pytest.raises(ConfigurationError, match=path):
        resolve(path)


def test_one_that_fails_is_named_and_the_next_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "operators_broken.py").write_text("1 / 0\n")
    (tmp_path / "operators_whole.py").write_text("def build(): pass\n")
    sys.path.insert(0, str(tmp_path))

    import_factories(["operators_broken.build", "operators_whole.build"])

    assert "operators_broken.build cannot be imported: ZeroDivisionError" in capsys.readouterr().err
    assert sys.modules.pop("operators_whole").build() is None


def test_folders_that_cannot_be_read_any_more_are_forgotten(tmp_path: Path) -> None:
    readable, closed = tmp_path / "site-packages", tmp_path / "ours"
    sys.path[:] = [str(closed), str(readable), str(readable / "more")]

    forget_unreadable([str(readable)])

    assert sys.path == [str(readable), str(readable / "more")]


def test_where_nothing_was_closed_nothing_is_forgotten() -> None:
    before = list(sys.path)

    forget_unreadable([])

    assert sys.path == before
