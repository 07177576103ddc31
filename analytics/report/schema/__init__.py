"""The JSON Schema (draft 2020-12) of a report in JSON, as a file of the package."""

from __future__ import annotations

from importlib.resources import files


def text() -> str:
    """The schema as JSON with a final newline."""
    return files(__name__).joinpath("report.schema.json").read_text("utf-8")
