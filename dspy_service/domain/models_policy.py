"""Which language models a client may name, where they may live, and with which options."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dspy_service.domain.catalogue.entries import Kwarg
from dspy_service.domain.catalogue.kwargs import check_kwargs
from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.origins import host_of, is_loopback, origin_of
from dspy_service.domain.spec import ModelSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[^\s\x00-\x1f\x7f]+")
_DEMO_NAME = re.compile(r"demo/in-context(\?[A-Za-z0-9_.,=&-]*)?")

_PENALTY = Kwarg(kind="number", minimum=-2, maximum=2, nullable=True)

EXTRA_OPTIONS: Mapping[str, Kwarg] = {
    "stop": Kwarg(kind="array", nullable=True, description="Strings that end a completion."),
    "seed": Kwarg(kind="integer", minimum=0, maximum=2**63 - 1, nullable=True),
    "reasoning_effort": Kwarg(
        kind="string", choices=("none", "minimal", "low", "medium", "high", "xhigh"), nullable=True
    ),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
}
"""What a client may send in ``extra``; the broker hands nothing else to a provider."""

_ENDPOINT = "endpoints belong in base_url, and keys stay with the operator"
_EXTRA_REFUSED = {
    **dict.fromkeys(("api_base", "base_url", "custom_llm_provider", "headers", "extra_headers", "proxy"), _ENDPOINT),
    **dict.fromkeys(("temperature", "max_tokens", "top_p", "model_type"), "send it beside name, not in extra"),
    "cache": "the service caches by itself",
}


@dataclass(frozen=True)
class ModelPolicy:
    """The operator's rules.

    ``allowed_origins`` are ``scheme://host:port``, as ``origin_of`` writes them. ``allow_loopback`` is for a service
    that only this machine can reach. No ``allowed_models`` means any.
    """

    allowed_origins: frozenset[str] = frozenset()
    allow_loopback: bool = False
    allowed_models: frozenset[str] = frozenset()

    def check(self, model: ModelSettings, field: str) -> None:
        """Check one model configuration.

        Args:
            model: what the client asked for.
            field: the payload's field, for example ``model_config``.

        Raises:
            UnsupportedRequestError: the name, the endpoint or an option is not available here.
        """
        self._check_name(model, f"{field}.name")
        if model.base_url is not None:
            self._check_base_url(model, f"{field}.base_url")
        check_kwargs(model.extra, EXTRA_OPTIONS, _EXTRA_REFUSED, field=f"{field}.extra", owner="the service")
        stop = model.extra.get("stop")
        if isinstance(stop, list) and not all(isinstance(each, str) for each in stop):
            raise UnsupportedRequestError.of(f"{field}.extra.stop", "must hold strings only")

    def _check_name(self, model: ModelSettings, field: str) -> None:
        name = model.name
        if name.startswith("demo/"):
            if not _DEMO_NAME.fullmatch(name):
                raise UnsupportedRequestError.of(
                    field, f"there is no demo model {name!r}; the only one is 'demo/in-context'"
                )
            name = name.partition("?")[0]  # behind it stand options, not another model
        elif not _NAME.fullmatch(name):
            raise UnsupportedRequestError.of(
                field, f"{name!r} is no model; write <provider>/<model>, for example openai/gpt-4o-mini"
            )
        if self.allowed_models and name not in self.allowed_models:
            known = ", ".join(sorted(self.allowed_models))
            raise UnsupportedRequestError.of(field, f"{name!r} is not allowed here; the operator allows: {known}")

    def _check_base_url(self, model: ModelSettings, field: str) -> None:
        if model.name.startswith("demo/"):
            raise UnsupportedRequestError.of(
                field, "the demo model runs inside the service and has no endpoint; leave base_url out"
            )
        try:
            origin = origin_of(model.base_url or "")
        except ValueError as error:
            raise UnsupportedRequestError.of(field, str(error)) from None
        if origin in self.allowed_origins or (self.allow_loopback and is_loopback(host_of(origin))):
            return
        known = ", ".join(sorted(self.allowed_origins)) or "none"
        message = f"{origin} is not an endpoint that this service may call (allowed: {known}); ask its operator"
        raise UnsupportedRequestError.of(field, message)
