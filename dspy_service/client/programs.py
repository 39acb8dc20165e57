"""From an artifact to files, and to a program that answers.

DSPy is not a dependency of the SDK. Only loading a program needs it, and imports it then.
"""

import base64
import binascii
import importlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from dspy_service.client.answers import ArtifactAnswer, JobDetail
from dspy_service.client.errors import ProgramLoadError
from dspy_service.domain.result import ProgramArtifact

Bundle: TypeAlias = ArtifactAnswer | ProgramArtifact | JobDetail | Mapping[str, Any]
"""What ``artifact`` answers, or the ``program_artifact`` in it, as a value or as plain JSON."""


def materialize_artifact(bundle: Bundle, destination: str | Path) -> Path:
    """Write ``metadata.json`` and ``program.pkl``, the folder that ``dspy.load`` reads.

    Returns:
        The folder, which is made when it is not there.

    Raises:
        ProgramLoadError: the bundle holds no program.
    """
    metadata, pickle_base64 = _parts(bundle)
    try:
        program = base64.b64decode(pickle_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        message = f"The artifact's program is not base64: {error}."
        raise ProgramLoadError(message) from error
    folder = Path(destination)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False), encoding="utf-8")
    (folder / "program.pkl").write_bytes(program)
    return folder


def load_materialized(folder: Path) -> Any:  # noqa: ANN401  # a dspy.Module, a type the SDK does not know
    """Load the program in ``folder`` with plain DSPy.

    Unpickling runs code: load only artifacts of a service that you trust.

    Raises:
        ProgramLoadError: DSPy is not installed here, or cannot read the program.
    """
    try:
        dspy = importlib.import_module("dspy")
    except ModuleNotFoundError as error:
        message = "Loading a program needs dspy; install the version that the artifact's metadata names."
        raise ProgramLoadError(message) from error
    try:
        return dspy.load(str(folder), allow_pickle=True)
    except Exception as error:  # unpickling runs submitted code, which may raise anything
        message = f"The program in {folder} cannot be loaded here: {type(error).__name__}: {error}"
        raise ProgramLoadError(message) from error


def load_bundle(bundle: Bundle, destination: str | Path | None = None) -> Any:  # noqa: ANN401  # a dspy.Module
    """Write the artifact to ``destination`` (else to a folder that goes away again) and load its program."""
    if destination is not None:
        return load_materialized(materialize_artifact(bundle, destination))
    with tempfile.TemporaryDirectory(prefix="dspy-program-") as folder:
        return load_materialized(materialize_artifact(bundle, folder))


def _parts(bundle: Bundle) -> tuple[Mapping[str, Any], str]:
    plain: Any = bundle if isinstance(bundle, Mapping) else bundle.model_dump(mode="json")
    for step in ("result", "program_artifact"):
        inner = plain.get(step)
        plain = inner if isinstance(inner, Mapping) else plain
    metadata, pickle_base64 = plain.get("metadata"), plain.get("program_pickle_base64")
    if not isinstance(metadata, Mapping) or not isinstance(pickle_base64, str):
        message = "The bundle holds no program: expected `metadata` and `program_pickle_base64`."
        raise ProgramLoadError(message)
    return metadata, pickle_base64
