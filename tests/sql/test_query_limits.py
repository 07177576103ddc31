"""Places for questions that run at once."""

from __future__ import annotations

import time

import pytest

from sql.errors import QueryError
from sql.query_limits import Places


def test_places_are_free_again_when_questions_end() -> None:
    """As many as there are places run at once; one more is told to wait for one that ends."""
    places = Places(2, seconds=60)
    with places.one():
        with places.one(), pytest.raises(QueryError, match="2 queries run already"), places.one():
            pass
        with places.one():
            pass


def test_a_stalled_client_keeps_no_place_for_ever() -> None:
    """After the time of a question its place is another's; that it ends late takes that one nothing."""
    places = Places(1, seconds=0.05)
    stalled = places.one()
    stalled.__enter__()
    time.sleep(0.06)
    with places.one():
        stalled.__exit__(None, None, None)
        with pytest.raises(QueryError, match="1 queries"), places.one():
            pass
