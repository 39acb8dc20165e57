"""Checks a request completely, without executing any of it."""

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.catalogue.kwargs import check_kwargs, with_defaults
from dspy_service.domain.catalogue.modules import REFUSED_MODULE_KWARGS
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.catalogue.rules import Asked
from dspy_service.domain.dataset import check_columns, check_rows, check_splits, resolve_mapping
from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.models_policy import ModelPolicy
from dspy_service.domain.result import SplitCounts
from dspy_service.domain.secrets import refuse_secrets
from dspy_service.domain.sources import MetricFacts, SignatureFacts, read_sources
from dspy_service.domain.spec import ColumnMapping, JobLimits, ModelSettings, RunRequest
from dspy_service.domain.splits import split_counts
from dspy_service.domain.webhook_policy import WebhookPolicy
from dspy_service.domain.workers import SandboxLevel
from dspy_service.usecases.check_budget import check_budget
from dspy_service.usecases.check_health import SandboxWatch

NO_LIMITS = JobLimits()
ONLY_PUBLIC = WebhookPolicy()


@dataclass(frozen=True)
class Rules:
    """What the operator offers and allows."""

    registry: Registry
    policy: ModelPolicy
    max_rows: int
    max_row_keys: int = 256
    max_field_bytes: int = 256 * 1024
    limits: JobLimits = NO_LIMITS
    """The most that a job may use."""
    min_level: SandboxLevel = "L1"
    """Weakest confinement in which submitted code may run."""
    webhooks: WebhookPolicy = ONLY_PUBLIC
    sandbox: SandboxWatch = dataclasses.field(default_factory=SandboxWatch)


@dataclass(frozen=True)
class CheckedRequest:
    """What the checks found out on their way."""

    mapping: ColumnMapping
    signature: SignatureFacts
    metric: MetricFacts
    splits: SplitCounts
    module: ModuleEntry
    optimizer: OptimizerEntry


async def check_request(request: RunRequest, rules: Rules) -> CheckedRequest:
    """Check secrets, limits, webhook, rows, names, sources, mapping, splits, models, kwargs and budget, in this order.

    The sources are parsed in a thread, because 64 KiB of them take about 50 ms.

    Raises:
        InvalidRequestError: the payload is malformed.
        UnsupportedRequestError: it asks for something that cannot be done as asked.
    """
    refuse_secrets(_where_secrets_hide(request))
    _check_limits(request.limits, rules.limits)
    if request.webhook is not None:
        rules.webhooks.check(request.webhook)
    check_rows(
        request.dataset,
        max_rows=rules.max_rows,
        max_row_keys=rules.max_row_keys,
        max_field_bytes=rules.max_field_bytes,
    )
    optimizer = rules.registry.optimizer(request.optimizer_name)
    module = rules.registry.module(request.module_name)
    signature, metric = await asyncio.to_thread(
        read_sources, request.signature_code, request.metric_code, arity=optimizer.metric_arity
    )
    mapping = resolve_mapping(request.column_mapping, signature)
    check_columns(request.dataset, mapping)
    splits = split_counts(len(request.dataset), request.split_fractions)
    check_splits(splits, needs_valset=optimizer.needs_valset, owner=request.optimizer_name)
    _check_models(request, optimizer, rules.policy)
    check_kwargs(
        request.module_kwargs, module.kwargs, REFUSED_MODULE_KWARGS, field="module_kwargs", owner=request.module_name
    )
    _check_optimizer_kwargs(request, optimizer, rules.registry, splits)
    check_budget(request, optimizer)
    return CheckedRequest(mapping, signature, metric, splits, module, optimizer)


def _where_secrets_hide(request: RunRequest) -> dict[str, JsonValue]:
    """Collect what is neither rows nor source, under the payload's own names."""
    return {
        "module_kwargs": request.module_kwargs,
        "optimizer_kwargs": request.optimizer_kwargs,
        "compile_kwargs": request.compile_kwargs,
        "metadata": dict(request.metadata),
        "webhook": {"url": request.webhook.url} if request.webhook is not None else None,
        **{
            field: {"name": model.name, "base_url": model.base_url, "extra": model.extra}
            for field, model in _models(request)
        },
    }


def _models(request: RunRequest) -> Iterator[tuple[str, ModelSettings]]:
    """Yield each model that was sent, with its field."""
    for field, model in (
        ("model_config", request.lm),
        ("prompt_model_config", request.prompt_lm),
        ("task_model_config", request.task_lm),
        ("reflection_model_config", request.reflection_lm),
    ):
        if model is not None:
            yield field, model


def _check_limits(asked: JobLimits | None, allowed: JobLimits) -> None:
    """A job may lower the operator's limits, never raise them."""
    for name in JobLimits.model_fields:
        wanted, most = getattr(asked, name, None), getattr(allowed, name)
        if wanted is not None and most is not None and wanted > most:
            message = f"limits.{name}: {wanted} is more than the {most} that this service allows; ask for less"
            raise UnsupportedRequestError(message, field=f"limits.{name}")


def _check_models(request: RunRequest, optimizer: OptimizerEntry, policy: ModelPolicy) -> None:
    for field, model in _models(request):
        policy.check(model, field)
    if optimizer.needs_reflection_model and request.reflection_lm is None:
        message = (
            f"reflection_model_config: {request.optimizer_name} needs a reflection model, which writes the new "
            'instructions; send for example {"name": "openai/gpt-4o"}'
        )
        raise UnsupportedRequestError(message, field="reflection_model_config")


def _check_optimizer_kwargs(
    request: RunRequest, optimizer: OptimizerEntry, registry: Registry, splits: SplitCounts
) -> None:
    """Check each kwarg alone, then what the optimizer asks of them together."""
    for field, given, accepted in (
        ("optimizer_kwargs", request.optimizer_kwargs, optimizer.kwargs),
        ("compile_kwargs", request.compile_kwargs, optimizer.compile_kwargs),
    ):
        check_kwargs(given, accepted, optimizer.refused_kwargs, field=field, owner=request.optimizer_name)
    asked = Asked(
        optimizer=request.optimizer_name,
        kwargs=with_defaults(request.optimizer_kwargs, optimizer.kwargs),
        compile_kwargs=with_defaults(request.compile_kwargs, optimizer.compile_kwargs),
        splits=splits,
    )
    registry.rule(optimizer)(asked)
