"""Print what is in an artifact and try its program.

Set ``ARTIFACT_PATH`` below (or give it as an argument) and run ``python inspect_artifact.py``::

    python inspect_artifact.py artifacts/<job id> --inputs '{"ticket": "Where is my parcel?"}'
    python inspect_artifact.py artifacts/<job id> --inputs '{"ticket": "…"}' --model openai/gpt-4o-mini

This loads the program's pickle, and **unpickling runs code**: inspect only artifacts of a service that you trust. The
program answers with the demo model, which needs no key; ``--model`` takes any name that ``dspy.LM`` knows.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dspy

from workers.lm.demo.engine import AsyncDemoEngine, DemoEngine
from workers.lm.demo.options import MODEL_NAME, parse_demo_model

ARTIFACT_PATH = ""
"""Folder with ``metadata.json`` and ``program.pkl``, for example ``artifacts/<job id>``."""

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
        inspect(options.artifact, options.inputs, options.model)
    except InspectionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class InspectionError(Exception):
    """The artifact cannot be read, or its program cannot be tried; the message is for the person at the terminal."""


def inspect(artifact: str, inputs: Mapping[str, Any], model: str) -> None:
    """Describe the artifact in a folder and, with inputs, try its program."""
    if not artifact:
        message = "Name the artifact's folder, as in: python inspect_artifact.py artifacts/<job id>"
        raise InspectionError(message)
    folder = Path(artifact)
    missing = [name for name in ("metadata.json", "program.pkl") if not (folder / name).is_file()]
    if missing:
        message = f"{artifact} holds no {' and no '.join(missing)}."
        raise InspectionError(message)
    try:
        describe_metadata(json.loads((folder / "metadata.json").read_text(encoding="utf-8")))
        program = dspy.load(str(folder), allow_pickle=True)
    except Exception as error:  # unpickling runs submitted code, which may raise anything
        message = f"The program in {artifact} cannot be loaded: {type(error).__name__}: {error}"
        raise InspectionError(message) from error
    describe_program(program)
    if not inputs:
        print('\nGive --inputs \'{"field": "…"}\' to try the program.')
        return
    prediction = try_program(program, inputs, model)
    print(f"\nAnswer of {model}:")
    for name, value in prediction.items():
        print(f"  {name}: {value}")


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


def describe_metadata(metadata: Mapping[str, Any]) -> None:
    """Print what the service wrote about the artifact."""
    print("Metadata:")
    for name in _FACTS:
        if metadata.get(name) is not None:
            print(f"  {name}: {metadata[name]}")


def describe_program(program: dspy.Module) -> None:
    """Print each predictor: its signature, instructions and number of demonstrations."""
    print(f"\nProgram: {type(program).__name__}")
    for name, predictor in program.named_predictors():
        signature = predictor.signature
        print(f"  Predictor {name}: {signature.__name__}, {len(predictor.demos)} demonstrations")
        for side, fields in (("in ", signature.input_fields), ("out", signature.output_fields)):
            for field_name, field in fields.items():
                print(f"    {side} {field_name}: {field.annotation}")
        print("    instructions:")
        for line in signature.instructions.splitlines():
            print(f"      {line}")


def language_model(name: str) -> dspy.LM:
    """Return the demo model, or whatever ``dspy.LM`` makes of another name with the keys of the environment."""
    if not name.startswith(MODEL_NAME):
        return dspy.LM(name)
    options = parse_demo_model(name)
    return dspy.LM(name, engine=DemoEngine(options), async_engine=AsyncDemoEngine(options), cache=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", nargs="?", default=ARTIFACT_PATH, help="the artifact's folder")
    parser.add_argument("--inputs", type=_fields, default=dict(TEST_INPUTS), help="input fields as a JSON object")
    parser.add_argument("--model", default=MODEL_NAME, help=f"default: {MODEL_NAME}")
    return parser.parse_args(arguments)


def _fields(text: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError as error:
        message = f"not JSON: {error}"
        raise argparse.ArgumentTypeError(message) from error
    if not isinstance(fields, dict):
        message = """not a JSON object; write it as '{"ticket": "Where is my parcel?"}'"""
        raise argparse.ArgumentTypeError(message)
    return fields


if __name__ == "__main__":
    sys.exit(main())
