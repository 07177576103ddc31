"""docs/data-model.md says what the data of the conventions say."""

from __future__ import annotations

import pytest

from collector.conventions.columns import CANONICAL_COLUMNS, read_keys
from collector.conventions.document import PAGE, document, rewritten


def test_the_page_is_written_from_the_data() -> None:
    """The page is what `make docs` would write."""
    page = PAGE.read_text("utf-8")
    assert page == rewritten(page), "run `make docs`"


def test_every_column_and_every_name_is_there() -> None:
    """No canonical column and no attribute that is read is left out."""
    text = document()
    assert [name for name in CANONICAL_COLUMNS if f"| `{name}` |" not in text] == []
    told = {key for key in read_keys() if not key.startswith(("http.response.header.", "gen_ai.completion."))}
    assert sorted(key for key in told if f"`{key}`" not in text) == []


def test_a_page_without_the_marks_is_refused() -> None:
    """A page that lost its marks is not overwritten."""
    with pytest.raises(ValueError, match="no place for the columns"):
        rewritten("# Data model\n")
