"""Tables that are too wide for a terminal, split over several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def pages(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Split columns over as many grids as it takes, in order, so that each fits the room and no word is cut.

    Args:
        widths: of the columns, with their gaps.
        room: how wide the columns of one grid may be together; a wider column stands alone.

    Returns:
        The places of each grid's columns.
    """
    page: list[int] = []
    used = 0
    for place, needed in enumerate(widths):
        if page and used + needed > room:
            yield page
            page, used = [], 0
        page.append(place)
        used += needed
    if page:
        yield page
