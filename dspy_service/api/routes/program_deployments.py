"""``POST /programs/{name}/versions``: serve the program of a job, or one that was compiled elsewhere."""

import hashlib
from typing import Annotated, Any, Self

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
from dspy_service.domain.errors import InvalidRequestError
from dspy_service.domain.schema import Schema
from dspy_service.domain.serving.program import AdapterName, ChatMapping, ProgramName
from dspy_service.domain.serving.program_views import VersionView, view_version
from dspy_service.domain.spec import MAX_METADATA_LENGTH, MAX_METADATA_PAIRS, ModelSettings
from dspy_service.usecases.serving.deploy_program import Deployment, Upload, deploy_program

router = APIRouter(prefix="/programs", tags=["programs"])

_NAME: TypeAdapter[str] = TypeAdapter(ProgramName)
_NO_CHAT = ChatMapping()
_ADAPTER = (
    "`text`: the whole answer is the one text output, so its first token is the model's; only for programs without "
    "another output. Null: that of the optimization, but `text` instead of `chat` where it fits; send `chat` to keep "
    "the very prompts that were scored."
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

    @model_validator(mode="before")
    @classmethod
    def _no_pickle(cls, sent: Any) -> Any:  # noqa: ANN401  # whatever was sent
        if isinstance(sent, dict) and any("pickle" in str(name) or str(name).endswith(".pkl") for name in sent):
            message = "a pickle is code and is never taken; send `program` and `program_metadata`, which are data"
            raise ValueError(message)
        return sent

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.job_id is None) == (self.program is None) or (self.program is None) != (self.program_metadata is None):
            message = "send either `job_id`, or `program` with `program_metadata`"
            raise ValueError(message)
        return self

    def source(self) -> str | Upload:
        """Return the job's id, or the files."""
        if self.job_id is not None:
            return self.job_id
        return Upload(pydantic_core.to_json(self.program), pydantic_core.to_json(self.program_metadata))


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

    The version has files of its own: the job may be deleted. Its code never runs here; a program that only its own code
    can rebuild answers 400.
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


def _checked(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        message = "is no name for a program; lower case letters, digits, dot, dash and underscore, 63 at most"
        raise InvalidRequestError.of("name", message) from None
