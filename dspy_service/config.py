"""The settings of every role: environment variables with one prefix, read once when a process starts."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.frames import MAX_FRAME_BYTES
from dspy_service.domain.origins import origin_of, page_origin_of
from dspy_service.domain.spec import MIN_MEMORY_BYTES, MIN_THREADS, JobLimits
from dspy_service.domain.workers import SandboxLevel

PREFIX = "DSPY_SERVICE_"

MIN_SECRET_CHARS = 32

_BEATS_PER_LEASE = 3  # a lost heartbeat or two must not cost the lease

_MAY_HOLD_SECRETS = frozenset({"redis_url", "artifacts_url", "secret_key"})

_CLIENT_VARIABLES = frozenset({f"{PREFIX}API_KEY"})
"""Read by the SDK and the command line, which may share an environment with the service."""

_Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator may set. Each field is the variable of its name, with the prefix ``DSPY_SERVICE_``."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=PREFIX, env_ignore_empty=True, env_file_encoding="utf-8", extra="ignore"
    )

    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    redis_url: str = Field(
        "",
        description="`redis://`, `rediss://` or `unix://` address of a Redis or Valkey; empty: the embedded one.",
    )
    data_dir: Path = Field(
        Path("data"), description="Folder of the embedded store, and of the key that is made for you."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs artifacts and hashes API keys, 32 characters or more, the same in every process; "
        "empty: made once, in `DATA_DIR/secret.key`.",
    )
    artifacts_url: str = Field(
        "artifacts", description="Where datasets and artifacts stand: a folder, or `s3://`, `gs://`, `az://`."
    )
    worker_concurrency: int = Field(2, ge=1, le=256, description="Jobs that one worker runs at a time.")
    lease_seconds: float = Field(15, ge=1, le=3600, description="A worker that is silent for so long loses its job.")
    heartbeat_seconds: float = Field(1, ge=0.05, description="Pause between two heartbeats of a job's worker.")
    max_losses: int = Field(3, ge=1, le=100, description="Workers that one job may lose before it is failed.")
    hand_back_seconds: float = Field(
        5,
        ge=1,
        le=600,
        description="A worker that is told to end gives its jobs back within so long; all but the last second of it is "
        "for model calls in flight.",
    )
    pause_seconds: float = Field(
        60, ge=0, le=3600, description="A job that is paused lets model calls in flight take so long."
    )
    tenant_running_jobs: int = Field(0, ge=0, description="Jobs of one tenant that run at the same time; 0: any.")
    retention_days: float = Field(
        0, ge=0, description="Ended jobs are deleted after so many days, files included; 0: never."
    )
    webhook_origins: _Names = Field(
        (),
        description="Origins that a webhook may name although they are private or not https, separated by commas.",
    )
    sandbox_min_level: SandboxLevel = Field(
        "L2",
        description="Weakest confinement in which submitted code may run: `L2` (Landlock and seccomp, Linux) or `L1`, "
        "which stops mistakes and no attacks.",
    )
    allowed_base_urls: _Names = Field(
        (), description="Origins (`https://host:port`) that a client may name in `base_url`, separated by commas."
    )
    allowed_models: _Names = Field(
        (), description="Models that a client may name, separated by commas; empty: any whose key is there."
    )
    registry: str = Field(
        "main:configure_registry", description="Function that registers your own modules and optimizers."
    )
    max_body_bytes: int = Field(8 * 1024**2, ge=1024, description="Largest request body; 8 MiB.")
    max_rows: int = Field(20_000, ge=1, description="Most rows in one dataset.")
    max_row_keys: int = Field(256, ge=1, description="Most columns in one row.")
    max_field_bytes: int = Field(256 * 1024, ge=1, description="Largest value in one row; 256 KiB.")
    max_json_depth: int = Field(32, ge=8, le=128, description="Deepest nesting in a request body.")
    key_requests_per_minute: int = Field(1_200, ge=0, description="Requests of one API key; 0: any number.")
    address_requests_per_minute: int = Field(
        2_400, ge=0, description="Requests of one address, counted before its key is looked at; 0: any number."
    )
    tenant_jobs: int = Field(100, ge=0, description="Jobs of one tenant that have not ended; 0: any number.")
    cors_origins: _Names = Field(
        (), description="Origins (`https://host`) of web pages that may call the API, separated by commas; no `*`."
    )
    docs: bool = Field(True, description="Serve `/docs` and `/openapi.json`.")
    eval_threads: int = Field(8, ge=1, le=256, description="Threads of an evaluation, unless the job names a number.")
    standby: bool = Field(True, description="Keep a warmed runner ready for the next job.")
    job_seconds: float = Field(86_400, gt=0, description="Longest run of one attempt of a job; a day.")
    stall_seconds: float = Field(
        900, ge=1, description="A job without progress and without a language model call for so long is ended."
    )
    runner_cpu_seconds: float = Field(43_200, ge=1, description="CPU time of one job, all threads together; 12 hours.")
    runner_memory_bytes: int = Field(
        2 * 1024**3, ge=MIN_MEMORY_BYTES, description="Memory of one job (resident); 2 GiB."
    )
    runner_threads: int = Field(256, ge=MIN_THREADS, description="Threads of one job at a time.")
    runner_output_bytes: int = Field(
        1024**2, ge=1024, description="Printed output of one job that is kept, of stdout and stderr each; 1 MiB."
    )
    runner_log_bytes: int = Field(64 * 1024**2, ge=1024, description="Log of one job that is kept; 64 MiB.")
    runner_event_bytes: int = Field(64 * 1024**2, ge=1024, description="Other events of one job; 64 MiB.")
    runner_events: int = Field(1_000_000, ge=100, description="Events of one job, log lines included.")
    runner_frame_bytes: int = Field(
        4 * 1024**2, ge=2 * 1024**2, le=MAX_FRAME_BYTES, description="Largest message of a runner; 4 MiB."
    )
    runner_pending_calls: int = Field(256, ge=1, description="Unanswered model calls of a job before it must wait.")
    runner_pending_bytes: int = Field(4 * 1024**2, ge=1024, description="Memory that these may take; 4 MiB.")
    runner_artifact_bytes: int = Field(16 * 1024**2, ge=1024**2, description="All files of one artifact; 16 MiB.")
    lm_timeout_seconds: float = Field(120, gt=0, description="Longest wait for one answer of a language model.")
    lm_answer_bytes: int = Field(
        4 * 1024**2, ge=64 * 1024, le=MAX_FRAME_BYTES, description="Largest answer of a language model; 4 MiB."
    )
    lm_max_attempts: int = Field(
        4, ge=1, le=20, description="Tries of a call that fails alone; rate limits and outages are borne for minutes."
    )
    lm_max_in_flight: int = Field(64, ge=1, le=4096, description="Language model calls that one job has in flight.")
    lm_journal_bytes: int = Field(
        1024**3,
        ge=1024**2,
        description="Answers of one job that are kept, so that none is paid for twice; of others, the cost is; 1 GiB.",
    )
    lm_cache_bytes: int = Field(
        64 * 1024**2, ge=0, description="Answers that jobs with `cache` share, of each tenant; 64 MiB; 0: none."
    )
    lm_cache_seconds: float = Field(604_800, gt=0, description="How long these are kept unused; a week.")
    models_file: Path | None = Field(
        None, description="TOML file with prices and limits of models; empty: bundled prices, no limits."
    )
    serving_concurrency: int = Field(
        64, ge=1, le=1000, description="Runs that a serving process carries out at a time; one tenant gets 4/5 of them."
    )
    max_hosts: int = Field(
        8,
        ge=1,
        le=256,
        description="Programs that need their own code which one serving process keeps at a time; of one tenant, "
        "all but a quarter.",
    )
    host_idle_seconds: float = Field(
        300,
        ge=1,
        le=86_400,
        description="The confined process of such a program is ended when nobody asks it for so long.",
    )
    serving_first_token_seconds: float = Field(
        60, gt=0, le=86_400, description="A served program's model may take so long before it says anything."
    )
    serving_quiet_seconds: float = Field(
        60, gt=0, le=86_400, description="It may be silent for so long between two pieces of its answer."
    )
    serving_call_seconds: float = Field(
        1_800, gt=0, le=86_400, description="One call of it may take so long in all, however steadily it goes on."
    )
    run_lease_seconds: float = Field(
        15, ge=1, le=3600, description="A serving process that is silent for so long loses its runs."
    )
    serving_drain_seconds: float = Field(
        30,
        ge=1,
        le=3600,
        description="Answers that are being written when a serving worker is told to end may go on for so long.",
    )
    disconnect_grace_seconds: float = Field(
        30, ge=2, le=3600, description="A run that ends with its last reader waits for so long whether one comes back."
    )
    run_retention_seconds: float = Field(
        900,
        ge=1,
        le=604_800,
        description="The events of an ended run can be read for so long, 15 minutes; what it came to is kept for a day "
        "if it was sent with an `Idempotency-Key`.",
    )
    usage_retention_days: float = Field(400, ge=1, le=36_500, description="`GET /usage` knows so many days.")
    max_live_runs: int = Field(200, ge=0, description="Runs of one tenant that wait or are carried out; 0: any number.")
    max_programs: int = Field(1_000, ge=0, description="Deployed programs of one tenant; 0: any number.")
    max_versions_per_program: int = Field(
        1_000, ge=0, description="Versions of one program, the retired ones too; 0: any number."
    )
    max_conversations: int = Field(100_000, ge=0, description="Conversations of one tenant; 0: any number.")
    max_messages_per_conversation: int = Field(
        10_000, ge=0, description="Messages of one conversation, those of all branches; 0: any number."
    )
    conversation_retention_days: float = Field(
        0, ge=0, description="Conversations are deleted that many days after their last change; 0: never."
    )
    default_program: str = Field(
        "",
        description="Program that a path without a name means (`name`, `name@alias`); empty: the caller's only one.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="What the processes log.")

    @property
    def job_limits(self) -> JobLimits:
        """What a request may lower, and no request may raise."""
        return JobLimits(
            max_seconds=self.job_seconds,
            cpu_seconds=self.runner_cpu_seconds,
            memory_bytes=self.runner_memory_bytes,
            threads=self.runner_threads,
            stall_seconds=self.stall_seconds,
        )

    @field_validator("allowed_base_urls", "allowed_models", "cors_origins", "webhook_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_base_urls", "webhook_origins")
    @classmethod
    def _as_origins(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin_of(url) for url in urls)

    @field_validator("cors_origins")
    @classmethod
    def _as_pages(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(page_origin_of(origin) for origin in origins)

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            message = "it must start with redis://, rediss:// or unix://"
            raise ValueError(message)
        return url

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < MIN_SECRET_CHARS:
            message = f"it must have {MIN_SECRET_CHARS} characters or more"
            raise ValueError(message)
        return key

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _beat_often_enough(self) -> Self:
        if self.heartbeat_seconds * _BEATS_PER_LEASE > self.lease_seconds:
            message = (
                f"{PREFIX}HEARTBEAT_SECONDS is {self.heartbeat_seconds:g}; "
                f"make it at most a third of {PREFIX}LEASE_SECONDS ({self.lease_seconds:g})"
            )
            raise ValueError(message)
        return self


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the environment and, beneath it, ``env_file`` if there is one.

    Raises:
        ConfigurationError: a variable with our prefix is unknown or its value cannot be used.
    """
    _refuse_unknown(
        {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings, env_file=env_file).env_vars}
    )
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        raise ConfigurationError(" ".join(_sentence(problem) for problem in error.errors())) from error


def _refuse_unknown(variables: Iterable[str]) -> None:
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for variable in sorted(name.upper() for name in variables):
        if variable.startswith(PREFIX) and variable not in known and variable not in _CLIENT_VARIABLES:
            nearest = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}."
            message = f"There is no setting {variable}; {hint}"
            raise ConfigurationError(message)


def _sentence(problem: Any) -> str:  # noqa: ANN401  # pydantic's own description of an error
    reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if not problem["loc"]:
        return f"{reason}."
    field = str(problem["loc"][0])
    value = "not usable" if field in _MAY_HOLD_SECRETS else repr(problem["input"])
    return f"{PREFIX}{field.upper()} is {value}: {reason[0].lower()}{reason[1:]}."
