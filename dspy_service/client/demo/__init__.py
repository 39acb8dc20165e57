"""The demo: one real optimization of the sample tickets, shown as it happens."""

from dspy_service.client.demo.running import run_demo

__all__ = ["run_demo"]
