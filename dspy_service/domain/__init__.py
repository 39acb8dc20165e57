"""What we talk about: jobs, specs, events, frames, the catalogue; pydantic and the standard library only, no I/O."""
