"""Labels: words that people, evaluators and business systems use, as one spelling."""

from __future__ import annotations

import polars as pl


def normal_label(text: pl.Expr) -> pl.Expr:
    """A label in lower case, its words joined by underscores."""
    return text.str.strip_chars().str.to_lowercase().str.replace_all(r"[\s-]+", "_")
