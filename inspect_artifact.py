"""Print what is in an artifact and try its program.

Set ``ARTIFACT_PATH`` below (or give it as an argument) and run ``python inspect_artifact.py``::

    python inspect_artifact.py artifacts/<job id> --inputs '{"ticket": "Where is my parcel?"}'
    python inspect_artifact.py artifacts/<job id> --inputs '{"ticket": "…"}' --model openai/gpt-4o-mini

The program is described, and built to be tried, from ``metadata.json`` and ``program.json``, which are data. Where that
is not enough (submitted classes, other modules), only its pickle can be tried, and **unpickling runs code**: that waits
for ``--trust-pickle``, which is for artifacts of a service and of people that you trust.

The program answers with the demo model, which needs no key; ``--model`` takes any name that ``dspy.LM`` knows.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dspy

from dspy_service.client.errors import ProgramLoadError
from dspy_service.client.plain_program import rebuild_program
from dspy_service.client.programs import load_materialized
from dspy_service.domain.program_state import WHOLE, ProgramStateError, check_program_state, parse, recorded_fields
from workers.lm.demo.engine import AsyncDemoEngine, DemoEngine
from workers.lm.demo.options import MODEL_NAME, parse_demo_model

ARTIFACT_PATH = ""
"""Folder with ``metadata.json`` and ``program.json``, for example ``artifacts/<job id>``."""

TEST_INPUTS: Mapping[str, Any] = {}
"""Input fields to try the program with; empty: the program is only described."""

_FACTS = (
    "job_id",
    "module_name",
    "optimizer_name",
    "metric_name",
    "baseline_test_metric",
    "optimized_test_metric",
    "split",
    "seed",
    "dependency_versions",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Inspect one artifact; the exit code is 0 when it could be read (and, with inputs, answered)."""
    options = _parse(arguments)
    try:
        inspect(options.artifact, options.inputs, options.model, trust_pickle=options.trust_pickle)
    except InspectionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class InspectionError(Exception):
    """The artifact cannot be read, or its program cannot be tried; the message is for the person at the terminal."""


def inspect(artifact: str, inputs: Mapping[str, Any], model: str, *, trust_pickle: bool) -> None:
    """Describe the artifact in a folder and, with inputs, try its program."""
    if not artifact:
        message = "Name the artifact's folder, as in: python inspect_artifact.py artifacts/<job id>"
        raise InspectionError(message)
    folder = Path(artifact)
    missing = [name for name in ("metadata.json", "program.json") if not (folder / name).is_file()]
    if missing:
        message = f"{artifact} holds no {' and no '.join(missing)}."
        raise InspectionError(message)
    try:
        describe_data((folder / "metadata.json").read_bytes(), (folder / "program.json").read_bytes())
        if not inputs:
            print('\nGive --inputs \'{"field": "…"}\' to try the program.')
            return
        program = load(folder, trust_pickle=trust_pickle)
    except (ProgramStateError, ProgramLoadError) as error:
        message = f"{artifact}: {error}"
        raise InspectionError(message) from error
    prediction = try_program(program, inputs, model)
    print(f"\nAnswer of {model}:")
    for name, value in prediction.items():
        print(f"  {name}: {value}")


def describe_data(metadata: bytes, state: bytes) -> None:
    """Print what the service wrote about the artifact, and each predictor; nothing of it is run.

    Raises:
        ProgramStateError: the files are not in order.
    """
    facts: Any = parse(metadata, "metadata.json")
    fields = recorded_fields(facts)
    checked = check_program_state(state, fields)
    print("Metadata:")
    for name in _FACTS:
        if facts.get(name) is not None:
            print(f"  {name}: {facts[name]}")
    print(f"\nProgram: {facts.get('module_factory')} over {facts['signature']['name']}")
    types = {field["name"]: f"{field['side']:<6} {field['name']}: {field['type']}" for field in _fields(facts)}
    for name, names in fields.items():
        predictor = checked if name == WHOLE else checked[name]
        print(f"  Predictor {name}: {len(predictor['demos'])} demonstrations")
        for field in names:
            print(f"    {types.get(field, f'added  {field}')}")
        print("    instructions:")
        for line in predictor["signature"]["instructions"].splitlines():
            print(f"      {line}")


def load(folder: Path, *, trust_pickle: bool) -> dspy.Module:
    """Return the program, from data where that is enough.

    Raises:
        ProgramLoadError: it is not, and the pickle may not be run.
    """
    try:
        return rebuild_program((folder / "metadata.json").read_bytes(), (folder / "program.json").read_bytes())
    except ProgramLoadError as error:
        if trust_pickle:
            return load_materialized(folder)
        message = f"{error} Its pickle can be tried with --trust-pickle, which runs the code that is in it."
        raise ProgramLoadError(message) from error


def try_program(program: dspy.Module, inputs: Mapping[str, Any], model: str) -> dspy.Prediction:
    """Return the program's prediction.

    Raises:
        InspectionError: no predictor takes such a field, or the model does not answer.
    """
    fields = {name for _, predictor in program.named_predictors() for name in predictor.signature.input_fields}
    unknown = sorted(set(inputs) - fields)
    if unknown:
        message = f"The program has no input {', '.join(unknown)}; its inputs are {', '.join(sorted(fields))}."
        raise InspectionError(message)
    try:
        with dspy.context(lm=language_model(model), adapter=dspy.ChatAdapter()):
            return program(**inputs)
    except Exception as error:  # the model's client and the loaded program may raise anything
        message = f"The program did not answer with {model}: {str(error) or type(error).__name__}"
        raise InspectionError(message) from error


def _fields(facts: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    fields: Sequence[Mapping[str, str]] = facts["signature"]["fields"]
    return fields


def language_model(name: str) -> dspy.LM:
    """Return the demo model, or whatever ``dspy.LM`` makes of another name with the keys of the environment."""
    if not name.startswith(MODEL_NAME):
        return dspy.LM(name, cache=False)  # a disk cache unpickles what it reads
    options = parse_demo_model(name)
    return dspy.LM(name, engine=DemoEngine(options), async_engine=AsyncDemoEngine(options), cache=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", nargs="?", default=ARTIFACT_PATH, help="the artifact's folder")
    parser.add_argument("--inputs", type=_inputs, default=dict(TEST_INPUTS), help="input fields as a JSON object")
    parser.add_argument("--trust-pickle", action="store_true", help="unpickle the program, which runs code, if needed")
    parser.add_argument("--model", default=MODEL_NAME, help=f"default: {MODEL_NAME}")
    return parser.parse_args(arguments)


def _inputs(text: str) -> dict[str, Any]:
    try:
        inputs = json.loads(text)
    except ValueError as error:
        message = f"not JSON: {error}"
        raise argparse.ArgumentTypeError(message) from error
    if not isinstance(inputs, dict):
        message = """not a JSON object; write it as '{"ticket": "Where is my parcel?"}'"""
        raise argparse.ArgumentTypeError(message)
    return inputs


if __name__ == "__main__":
    sys.exit(main())
