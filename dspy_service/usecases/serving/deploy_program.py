"""Makes a version of a served program, from a job or from uploaded files, without running any of it."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import pydantic_core

from dspy_service.domain.artifact_paths import METADATA, PROGRAM_PICKLE, PROGRAM_STATE
from dspy_service.domain.catalogue.entries import ModuleEntry
from dspy_service.domain.catalogue.kwargs import check_kwargs
from dspy_service.domain.catalogue.modules import REFUSED_MODULE_KWARGS
from dspy_service.domain.errors import (
    ArtifactCorruptError,
    ArtifactNotFoundError,
    FileNotStoredError,
    InvalidRequestError,
    JobNotFinishedError,
    UnsupportedRequestError,
)
from dspy_service.domain.program_state import ProgramStateError
from dspy_service.domain.secrets import refuse_secrets
from dspy_service.domain.serving.program import AdapterName, ChatMapping, NewVersion, ProgramVersion
from dspy_service.domain.serving.program_description import ProgramDescription, describe_program
from dspy_service.domain.serving.version_paths import version_folder
from dspy_service.domain.spec import ModelSettings
from dspy_service.ports import ArtifactStore, JobStore
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.check_request import Rules
from dspy_service.usecases.find_job import find_job
from dspy_service.usecases.serving.record_version import VersionLimits, record_version
from dspy_service.usecases.settle_job import stored_spec
from dspy_service.usecases.signed_files import read_signed

_NO_LIMITS = VersionLimits()


@dataclass(frozen=True)
class Upload:
    """A program that was compiled elsewhere, as its files."""

    program: bytes
    metadata: bytes
    pickle: bytes | None = None
    """Opaque: it is code, which only a confined process may load. None: the two others, which are data, say all."""


@dataclass(frozen=True)
class Deployment:
    """What is to be served, and how."""

    tenant: str
    program: str
    source: str | Upload
    """The id of a job, or files."""
    lm: ModelSettings | None = None
    """None: the task model of the job."""
    adapter: AdapterName | None = None
    """None: that of the optimization; or ``text``, where that was ``chat`` and the only output is a text."""
    chat: ChatMapping = field(default_factory=ChatMapping)
    metadata: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    limits: VersionLimits = _NO_LIMITS


async def deploy_program(
    wanted: Deployment,
    *,
    programs: ProgramStore,
    jobs: JobStore,
    artifacts: ArtifactStore,
    rules: Rules,
    secret_key: bytes,
) -> tuple[ProgramVersion, bool]:
    """Check everything, then write the version's own files and record it: see ``record_version``.

    Returns:
        The version, and whether it is new: the newest version may be just this one.

    Raises:
        JobNotFoundError: this tenant has no such job.
        JobNotFinishedError: it has not ended.
        ArtifactNotFoundError: it ended without a program.
        ArtifactCorruptError: what is stored of it is not what was signed.
        InvalidRequestError: an uploaded file is missing or not in order, a secret was sent, or a field of the chat does
            not exist.
        UnsupportedRequestError: the model is not allowed, or the program cannot be served.
        IdempotencyKeyReusedError: the key was used for another version.
        LimitReachedError: the tenant keeps as many programs, or the program as many versions, as may be.
    """
    if isinstance(wanted.source, Upload):
        files, lm = wanted.source, wanted.lm
    else:
        files, lm = await _of_job(wanted.source, wanted, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    if lm is None:
        raise InvalidRequestError.of("model_config", 'is required with an uploaded program; {"name": "<model>"}')
    description = await _described(files, wanted)
    module = _module(wanted, description, rules)
    reason = description.why_not_plain(module.name)
    data = _kept(files, reason)
    version = _version(wanted, data, description, module, lm=lm, hosting_reason=reason)
    _check(version, description, module, rules)
    return await record_version(
        version,
        data,
        idempotency_key=wanted.idempotency_key,
        limits=wanted.limits,
        programs=programs,
        artifacts=artifacts,
        secret_key=secret_key,
    )


async def _of_job(
    job_id: str, wanted: Deployment, *, jobs: JobStore, artifacts: ArtifactStore, secret_key: bytes
) -> tuple[Upload, ModelSettings]:
    """Return the files of a job's program, and the model that it is served with."""
    job = await find_job(job_id, tenant=wanted.tenant, jobs=jobs)
    if not job.status.is_terminal:
        raise JobNotFinishedError(job_id, job.status)
    if not job.has_artifact:
        raise ArtifactNotFoundError(job_id, job.status)
    try:
        names = (PROGRAM_STATE, METADATA, PROGRAM_PICKLE)
        files = [await read_signed(job, name, artifacts=artifacts, secret_key=secret_key) for name in names]
        if wanted.lm is not None:
            return Upload(*files), wanted.lm
        spec = await stored_spec(job, jobs=jobs, artifacts=artifacts, secret_key=secret_key)
    except FileNotStoredError as error:
        raise ArtifactCorruptError(error.path, "it belongs to the job's program, and is not there") from error
    return Upload(*files), spec.models()["task"]


async def _described(files: Upload, wanted: Deployment) -> ProgramDescription:
    """Read the files in a thread: at their largest they take a second."""
    try:
        return await asyncio.to_thread(describe_program, files.program, files.metadata)
    except ProgramStateError as error:
        if isinstance(wanted.source, Upload):
            where = "program_metadata" if str(error).startswith(METADATA) else "program"
            raise InvalidRequestError.of(where, str(error)) from None
        raise UnsupportedRequestError.of("job_id", f"the program of this job cannot be served: {error}") from None


def _module(wanted: Deployment, description: ProgramDescription, rules: Rules) -> ModuleEntry:
    """Return the catalogue's entry; what was compiled elsewhere or long ago may name one that is not there."""
    try:
        return rules.registry.module(description.module_name)
    except UnsupportedRequestError as error:
        field_name = "program_metadata" if isinstance(wanted.source, Upload) else "job_id"
        message = f"the program's module is not registered here ({error})"
        raise UnsupportedRequestError.of(field_name, message) from None


def _kept(files: Upload, hosting_reason: str | None) -> dict[str, bytes]:
    """Return the files of the version; the pickle only where nothing else will do."""
    data = {PROGRAM_STATE: files.program, METADATA: files.metadata}
    if hosting_reason is None:
        return data
    if files.pickle is None:
        message = f"is required, for only its code can be this program: {hosting_reason}; send its program.pkl"
        raise InvalidRequestError.of("program_pickle_base64", message)
    return {**data, PROGRAM_PICKLE: files.pickle}


def _version(
    wanted: Deployment,
    files: Mapping[str, bytes],
    description: ProgramDescription,
    module: ModuleEntry,
    *,
    lm: ModelSettings,
    hosting_reason: str | None,
) -> NewVersion:
    """Return the version, not checked yet."""
    whole = NewVersion(
        tenant=wanted.tenant,
        program=wanted.program,
        artifact_folder="",
        digest="0" * 64,
        module_name=module.name,
        module_kwargs=description.module_kwargs,
        interface=description.interface,
        hosting="plain" if hosting_reason is None else "confined",
        hosting_reason=hosting_reason,
        lm=lm,
        adapter=_adapter(wanted.adapter, description, module),
        chat=wanted.chat,
        job_id=None if isinstance(wanted.source, Upload) else wanted.source,
        optimizer_name=description.optimizer_name,
        baseline_score=description.baseline_score,
        optimized_score=description.optimized_score,
        metadata=dict(wanted.metadata),
    )
    digest = _digest(whole, files)
    folder = version_folder(wanted.tenant, wanted.program, digest)
    return whole.model_copy(update={"digest": digest, "artifact_folder": folder})


def _check(version: NewVersion, description: ProgramDescription, module: ModuleEntry, rules: Rules) -> None:
    """Check kwargs, secrets, model and chat, in this order."""
    if version.hosting == "plain":  # else the pickle holds what they made
        check_kwargs(
            version.module_kwargs, module.kwargs, REFUSED_MODULE_KWARGS, field="module_kwargs", owner=module.name
        )
    lm = version.lm
    refuse_secrets(
        {
            "model_config": {"name": lm.name, "base_url": lm.base_url, "extra": lm.extra},
            "metadata": dict(version.metadata),
            "module_kwargs": version.module_kwargs,
        }
    )
    rules.policy.check(lm, "model_config")
    _check_chat(version.chat, description, module)


def _adapter(wanted: AdapterName | None, description: ProgramDescription, module: ModuleEntry) -> AdapterName:
    """Return how the program asks and answers; refuse ``text`` for one that has more to say than a text."""
    is_text = description.interface.is_single_text and description.is_one_predictor(module.name)
    if wanted == "text" and not is_text:
        message = "text needs a `predict` program whose only output is a str; use chat"
        raise UnsupportedRequestError.of("adapter", message)
    if wanted is None and description.adapter == "chat" and is_text:
        return "text"
    return wanted or description.adapter


def _check_chat(chat: ChatMapping, description: ProgramDescription, module: ModuleEntry) -> None:
    """Refuse what the program does not have: a field, or one place for more instructions."""
    if chat.allow_system and not description.is_one_predictor(module.name):
        message = "needs a `predict` or `cot` program, whose one predictor has instructions to add to"
        raise UnsupportedRequestError.of("chat.allow_system", message)
    interface = description.interface
    sides = {
        "question": [field.name for field in interface.inputs if not field.is_history],
        "history": [field.name for field in interface.inputs if field.is_history],
        "answer": [field.name for field in interface.outputs],
    }
    for name, known in sides.items():
        given = getattr(chat, name)
        if given is not None and given not in known:
            message = f"the program has no such field {given[:100]!r}; it could be: {', '.join(known) or 'none'}"
            raise InvalidRequestError.of(f"chat.{name}", message)


def _digest(version: NewVersion, files: Mapping[str, bytes]) -> str:
    """Return SHA-256 of everything that the version is, the files included."""
    facts = version.model_dump(mode="json", exclude={"tenant", "program", "artifact_folder", "digest"})
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return hashlib.sha256(pydantic_core.to_json([facts, hashes])).hexdigest()
