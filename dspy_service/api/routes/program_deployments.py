"""``POST /programs/{name}/versions``: serve the program of a job, or one that was compiled elsewhere."""

import base64
import binascii
import hashlib
from typing import Annotated, Self

import pydantic_core
from fastapi import APIRouter, Header, Request, Response
from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from dspy_service.api.answers import json_answer
from dspy_service.api.bodies import json_body, parse_body
from dspy_service.api.callers import JobsWriter
from dspy_service.api.envelope import guarded
from dspy_service.api.job_id import JOB_ID_PATTERN
from dspy_service.api.program_path import NameText
from dspy_service.api.services import TheRules, TheServices
from dspy_service.config import Settings
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.keys import Caller
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.program import AdapterName, ChatMapping, ProgramName
from dspy_service.domain.serving.program_views import VersionView, view_version
from dspy_service.domain.spec import MAX_METADATA_LENGTH, MAX_METADATA_PAIRS, ModelSettings
from dspy_service.usecases.serving.deploy_program import Deployment, Upload, deploy_program
from dspy_service.usecases.serving.record_version import VersionLimits

router = APIRouter(prefix="/programs", tags=["programs"])

_NAME: TypeAdapter[str] = TypeAdapter(ProgramName)
_NO_CHAT = ChatMapping()
_MAX_PICKLE_CHARS = (
    22 * 1024**2
)  # 16 MiB and a little, as base64: what all files of a job's artifact may have by default
_ADAPTER = (
    "`text`: the whole answer is the one text output, so its first token is the model's; only for `predict` programs "
    "without another output. Null: that of the optimization, but `text` instead of `chat` where it fits; send `chat` "
    "to keep the very prompts that were scored."
)
_PICKLE = (
    "With `program`: its `program.pkl` in base64, for a program that only its own code can rebuild, with types or a "
    "module of its own. It is loaded in a confined process alone; for any other program it is left out."
)


class DeployRequest(Schema):
    """The body of ``POST /programs/{name}/versions``."""

    job_id: Annotated[
        str | None, Field(pattern=f"^{JOB_ID_PATTERN}$", description="A job that ended with a program.")
    ] = None
    program: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Instead of a job: the content of `program.json`, DSPy's saved state. Data only."),
    ] = None
    program_metadata: Annotated[
        dict[str, JsonValue] | None,
        Field(description="With `program`: the content of the `metadata.json` that a job of this service wrote."),
    ] = None
    program_pickle_base64: Annotated[
        str | None, Field(min_length=1, max_length=_MAX_PICKLE_CHARS, description=_PICKLE)
    ] = None
    lm: Annotated[
        ModelSettings | None, Field(description="The model that answers; null: the task model of the job.")
    ] = Field(default=None, alias="model_config")
    adapter: Annotated[AdapterName | None, Field(description=_ADAPTER)] = None
    chat: Annotated[ChatMapping, Field(description="Which fields carry a chat.")] = _NO_CHAT
    metadata: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=MAX_METADATA_LENGTH)],
            Annotated[str, Field(max_length=MAX_METADATA_LENGTH)],
        ],
        Field(description="Up to 16 short pairs of your own, kept with the version."),
    ] = Field(default_factory=dict, max_length=MAX_METADATA_PAIRS)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.job_id is None) == (self.program is None) or (self.program is None) != (self.program_metadata is None):
            message = "send either `job_id`, or `program` with `program_metadata`"
            raise ValueError(message)
        if self.program is None and self.program_pickle_base64 is not None:
            message = "`program_pickle_base64` belongs to `program`; a job has its own"
            raise ValueError(message)
        return self

    def source(self) -> str | Upload:
        """Return the job's id, or the files. Raises InvalidRequestError: the pickle is no base64."""
        if self.job_id is not None:
            return self.job_id
        program, metadata = (pydantic_core.to_json(each) for each in (self.program, self.program_metadata))
        return Upload(program, metadata, self._pickle())

    def _pickle(self) -> bytes | None:
        if self.program_pickle_base64 is None:
            return None
        try:
            return base64.b64decode(self.program_pickle_base64, validate=True)
        except (binascii.Error, ValueError):  # the second: text that is no ASCII
            message = "must be base64 without line breaks"
            raise InvalidRequestError.of("program_pickle_base64", message) from None


_EXAMPLES = {
    "job": {"summary": "Of a job", "value": {"job_id": "01890a5d-ac96-774b-bcce-b302099a8057"}},
    "model": {
        "summary": "Of a job, with another model",
        "value": {
            "job_id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "model_config": {"name": "openai/gpt-4o-mini", "temperature": 0.2},
        },
    },
}


@router.post(
    "/{name}/versions",
    summary="Serve a program",
    status_code=201,
    response_model=VersionView,
    responses={
        **guarded(400, 404, 409, 413, 422, 500),
        200: {"model": VersionView, "description": "The newest version is just this one; nothing was added."},
    },
    openapi_extra=json_body(DeployRequest, _EXAMPLES),
)
async def deploy(
    caller: JobsWriter,
    name: NameText,
    request: Request,
    services: TheServices,
    rules: TheRules,
    idempotency_key: Annotated[
        str | None, Header(description="Makes a repeated deployment answer with the first one's version, for a day.")
    ] = None,
) -> Response:
    """Make a new version of a program; the first one makes the program, and becomes `production`.

    The version has files of its own: the job may be deleted. Nothing of it runs here. A program that only its own code
    can rebuild is `confined`: its `program.pkl` is loaded in a confined process when somebody calls it. To deploy one
    is to submit code, which takes the same right as a job.
    """
    asked = await parse_body(await request.body(), DeployRequest, max_depth=services.settings.max_json_depth)
    wanted = Deployment(
        tenant=caller.tenant,
        program=_checked(name),
        source=asked.source(),
        lm=asked.lm,
        adapter=asked.adapter,
        chat=asked.chat,
        metadata=asked.metadata,
        idempotency_key=None if idempotency_key is None else hashlib.sha256(idempotency_key.encode()).hexdigest(),
        limits=_limits(caller, services.settings),
    )
    version, is_new = await deploy_program(
        wanted,
        programs=services.programs,
        jobs=services.jobs,
        artifacts=services.artifacts,
        rules=rules,
        secret_key=services.secret_key,
    )
    headers = {"location": f"/v1/programs/{version.program}/versions/{version.version}"}
    answer = json_answer(view_version(version), headers=headers)
    answer.status_code = 201 if is_new else 200
    return answer


def _limits(caller: Caller, settings: Settings) -> VersionLimits:
    if caller.is_open:
        return VersionLimits()
    return VersionLimits(max_programs=settings.max_programs, max_versions=settings.max_versions_per_program)


def _checked(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        message = "is no name for a program; lower case letters, digits, dot, dash and underscore, 63 at most"
        raise InvalidRequestError.of("name", message) from None
