"""What an operator may set, as the rows of a markdown table."""

from dspy_service.config import PREFIX, Settings


def settings_table() -> str:
    """Return a row for each setting: variable, default, meaning."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )


def _shown(default: object) -> str:
    text = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
    return f"`{text}`" if text else ""
