"""The two data files of a compiled program, as a job's runner writes them, and jobs that ended with them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dspy_service.adapters.memory import MemoryArtifactStore, MemoryJobStore
from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, PROGRAM_STATE, RESULT
from dspy_service.domain.job import JobStatus, Outcome
from tests.support.job_samples import a_new_job, a_spec
from tests.support.signed import put_signed

QUESTION = {"name": "question", "side": "input", "type": "str", "desc": "${question}"}
ANSWER = {"name": "answer", "side": "output", "type": "str", "desc": "${answer}"}


def compiled_files(
    *fields: Mapping[str, Any],
    module: str = "predict",
    instructions: str = "Answer well.",
    descriptions: Mapping[str, str] | None = None,
    demos: Sequence[Mapping[str, Any]] = (),
    **metadata: Any,  # noqa: ANN401  # JSON
) -> tuple[bytes, bytes]:
    """Return ``program.json`` and ``metadata.json``; without fields those of ``question -> answer``."""
    listed = list(fields) or [QUESTION, ANSWER]
    names = [str(field["name"]) for field in listed]
    if module == "cot":
        names.insert(sum(field["side"] == "input" for field in listed), "reasoning")
    told = descriptions or {}
    texts = [{"prefix": f"{name.title()}:", "description": told.get(name, f"${{{name}}}")} for name in names]
    signature = {"instructions": instructions, "fields": texts}
    predictor = {"traces": [], "train": [], "demos": list(demos), "signature": signature, "lm": None}
    versions = {"dependency_versions": {"python": "3.11", "dspy": "3.4.1", "cloudpickle": "3.1"}}
    state = {"predict": predictor} if module == "cot" else predictor
    whole = {
        **versions,
        "module_name": module,
        "module_kwargs": {},
        "adapter": "ChatAdapter",
        "optimizer_name": "miprov2",
        "signature": {"name": "Ask", "instructions": "Answer.", "fields": listed},
        "predictors": {"predict" if module == "cot" else "self": names},
        "baseline_test_metric": 0.25,
        "optimized_test_metric": 0.75,
        **metadata,
    }
    return json.dumps({**state, "metadata": versions}).encode(), json.dumps(whole).encode()


def several_predictors(files: tuple[bytes, bytes], *, instructions: str = "Think.") -> tuple[bytes, bytes]:
    """Return the files of a chain of thought with one more predictor, ``plan``, before it."""
    program, metadata = (json.loads(data) for data in files)
    plan = json.loads(json.dumps(program["predict"]))
    plan["signature"]["instructions"] = instructions
    metadata["predictors"] = {"plan": metadata["predictors"]["predict"], **metadata["predictors"]}
    return json.dumps({"plan": plan, **program}).encode(), json.dumps(metadata).encode()


async def ended_job(
    jobs: MemoryJobStore,
    artifacts: MemoryArtifactStore,
    files: tuple[bytes, bytes] | None = None,
    *,
    tenant: str = "local",
    status: JobStatus = JobStatus.SUCCESS,
    pickle: bytes = b"x",
    **spec: object,
) -> str:
    """Take a new job to its end with these files as its program, and return its id; None: it has no program."""
    job, _ = await jobs.create(a_new_job(tenant=tenant, spec=a_spec(**spec)))
    claim = await jobs.claim(job.job_id, owner="test", lease_seconds=15, sandbox_level="L1")
    assert claim is not None
    named = {RESULT: b"{}"} if files is None else {PROGRAM_STATE: files[0], METADATA: files[1], PROGRAM_PICKLE: pickle}
    outcome = Outcome.model_validate(
        {
            "status": status,
            "termination_reason": "completed" if status is JobStatus.SUCCESS else "cancelled",
            "message": "done",
            "result_path": await put_signed(claim.job, named, artifacts),
            "has_artifact": files is not None,
        }
    )
    await jobs.advance(job.job_id, fence=claim.fence)
    await jobs.finish(job.job_id, fence=claim.fence, outcome=outcome)
    return job.job_id
