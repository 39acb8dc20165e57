"""`python main.py` runs the whole platform; `configure_registry` is where operators add modules and optimizers.

Every role (API, worker, runner) loads the function that ``DSPY_SERVICE_REGISTRY`` names, this one by default, so what
is registered here must be importable where they run. For example, a module of your own that clients ask for as
``"module_name": "triage"``::

    from dspy_service.domain.catalogue.entries import Kwarg, ModuleEntry

    registry.register_module(
        ModuleEntry(
            name="triage",
            factory="my_company.programs.Triage",  # called with the signature, then with the client's module_kwargs
            description="Classifies, then asks itself whether it is sure.",
            kwargs={"rounds": Kwarg(kind="integer", minimum=1, maximum=5, default=2)},
        )
    )

``registry.register_optimizer(OptimizerEntry(...))`` does the same for an optimizer.
"""

import sys

from dspy_service.domain.catalogue.registry import Registry


def configure_registry(registry: Registry) -> None:
    """Add this installation's own modules and optimizers; the built-in ones are there already."""


if __name__ == "__main__":
    from dspy_service.cli import app

    sys.exit(app(["up", *sys.argv[1:]]))
