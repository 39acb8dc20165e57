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
    folder = Path(options.artifact)
    missing = [name for name in ("metadata.json", "program.pkl") if not (folder / name).is_file()]
    if not options.artifact or missing:
        print(
            f"{options.artifact or 'ARTIFACT_PATH'} holds no {' and no '.join(missing) or 'artifact'}.", file=sys.stderr
        )
        return 1
    describe_metadata(json.loads((folder / "metadata.json").read_text(encoding="utf-8")))
    program = dspy.load(str(folder), allow_pickle=True)
    describe_program(program)
    if not options.inputs:
        print("\nGive --inputs '{…}' to try the program.")
        return 0
    lm = language_model(options.model)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        prediction = program(**options.inputs)
    print(f"\nAnswer of {options.model}:")
    for name, value in prediction.items():
        print(f"  {name}: {value}")
    return 0


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
    parser.add_argument("--inputs", type=json.loads, default=dict(TEST_INPUTS), help="input fields as a JSON object")
    parser.add_argument("--model", default=MODEL_NAME, help=f"default: {MODEL_NAME}")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
