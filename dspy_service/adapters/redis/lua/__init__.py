"""One atomic Redis script per verb of the job store; ``prelude.lua`` stands in front of each."""

from importlib.resources import files


def script_source(verb: str) -> str:
    """Return the text of one script, prelude first."""
    folder = files(__name__)
    return "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in ("prelude", verb))
