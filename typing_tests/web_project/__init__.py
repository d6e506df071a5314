"""A web project as its users write one: checked by mypy and pyright, never run."""
