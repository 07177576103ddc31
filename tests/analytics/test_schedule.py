"""Slots of cron expressions: in order, none lost and none twice, also when the clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.schedule import Slots, check_cron, check_time_zone

BERLIN = "Europe/Berlin"
SECOND = timedelta(seconds=1)


def between(slots: Slots, begin: datetime, end: datetime) -> list[datetime]:
    """Every slot after one moment, up to another."""
    found: list[datetime] = []
    while (slot := slots.following(found[-1] if found else begin)) is not None and slot <= end:
        found.append(slot)
    return found


def clock(slots: Slots, begin: datetime, end: datetime) -> list[str]:
    """The slots as a clock of their zone shows them, with its offset from UTC in hours."""
    local = [slot.replace(tzinfo=UTC).astimezone(ZoneInfo(slots.time_zone)) for slot in between(slots, begin, end)]
    return [f"{moment:%d %H:%M %z}"[:-2] for moment in local]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 6 * * *", ["28 06:00 +01", "29 06:00 +02", "30 06:00 +02"]),
        ("30 2 * * *", ["28 02:30 +01", "29 03:00 +02", "30 02:30 +02"]),
        ("0 1-4 29 * *", ["29 01:00 +01", "29 03:00 +02", "29 04:00 +02"]),
        ("*/30 2 * * *", ["28 02:00 +01", "28 02:30 +01", "30 02:00 +02", "30 02:30 +02"]),
        ("0 */3 29 * *", ["29 00:00 +01", "29 03:00 +02", "29 06:00 +02"]),
    ],
)  # fmt: skip
def test_the_hour_that_the_clock_skips(cron: str, expected: list[str]) -> None:
    """A stated hour that is skipped runs right after the change, once; one of `*` follows the clock (Debian's cron)."""
    found = clock(Slots(cron, BERLIN), datetime(2026, 3, 27, 23), datetime(2026, 3, 30, 20))
    assert [slot for slot in found if slot[3:5] < "07"] == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 6 * * *", ["24 06:00 +02", "25 06:00 +01", "26 06:00 +01"]),
        ("30 2 * * *", ["24 02:30 +02", "25 02:30 +02", "26 02:30 +01"]),
        ("0 1-4 25 * *", ["25 01:00 +02", "25 02:00 +02", "25 03:00 +01", "25 04:00 +01"]),
        ("*/30 2 25 * *", ["25 02:00 +02", "25 02:30 +02", "25 02:00 +01", "25 02:30 +01"]),
        ("0 * 25 * *", [f"25 {hour} {zone}" for hour, zone in [
            ("00:00", "+02"), ("01:00", "+02"), ("02:00", "+02"), ("02:00", "+01"), ("03:00", "+01"),
            ("04:00", "+01"), ("05:00", "+01"), ("06:00", "+01")]]),
    ],
)  # fmt: skip
def test_the_hour_that_comes_twice(cron: str, expected: list[str]) -> None:
    """A stated hour that comes twice runs the first time; one of `*` runs both times (Debian's cron)."""
    found = clock(Slots(cron, BERLIN), datetime(2026, 10, 23, 22), datetime(2026, 10, 26, 20))
    assert [slot for slot in found if slot[3:5] < "07"] == expected


def test_the_latest_slot_is_not_forgotten_in_the_second_of_two_hours() -> None:
    """At 02:15, an hour after the first 02:15, the slot of 02:30 was three quarters of an hour ago."""
    slots = Slots("30 2 * * *", BERLIN)
    assert slots.latest(datetime(2026, 10, 25, 1, 15)) == datetime(2026, 10, 25, 0, 30)
    assert slots.following(datetime(2026, 10, 25, 1, 15)) == datetime(2026, 10, 26, 1, 30)


def test_a_slot_is_its_own_latest() -> None:
    """A slot has come at its very moment, and the next is another; a moment before, the one before it is the latest."""
    slots = Slots("15 6 * * 1-5", "Asia/Kolkata")
    friday, monday = datetime(2026, 11, 27, 0, 45), datetime(2026, 11, 30, 0, 45)
    assert slots.latest(monday) == monday
    assert slots.latest(monday - timedelta(microseconds=1)) == friday
    assert slots.following(friday) == monday
    assert slots.following(monday - timedelta(microseconds=1)) == monday


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "59", "*/20", "5,35", "10-12"]),
    st.sampled_from(["*", "0", "2", "1-3", "*/6", "23"]),
    st.sampled_from(["*", "1", "29", "L", "*/10"]),
    st.sampled_from(["*", "3", "10,3", "2-4"]),
    st.sampled_from(["*", "0", "MON-FRI", "SUN#5", "5L"]),
).map(" ".join)
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"])
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1))


@given(FIELDS, ZONES, MOMENTS)
@example("30 2 * * *", BERLIN, datetime(2026, 10, 25, 1, 15))
@example("0 0 * * *", "Pacific/Apia", datetime(2011, 12, 30, 12))
@example("45 1 * * *", "Australia/Lord_Howe", datetime(2026, 4, 4, 15, 10))
def test_looking_back_finds_what_looking_forward_found(cron: str, zone: str, moment: datetime) -> None:
    """The latest slot is the one after which the next lies ahead; slots go one way."""
    slots = Slots(cron, zone)
    latest, following = slots.latest(moment), slots.following(moment)
    assert latest is not None
    assert following is not None
    assert latest <= moment < following
    assert slots.following(latest) == following
    assert slots.latest(following) == following
    assert slots.latest(following - SECOND) == latest
    around = between(slots, latest - SECOND, latest + timedelta(days=1))
    assert around[0] == latest
    assert all(one < other for one, other in pairwise(around))


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 6 * *", "it has not five fields"),
        ("", "it has not five fields"),
        ("0 0 6 * * *", "it has not five fields"),
        ("60 * * * *", "its minute"),
        ("*/0 * * * *", "its minute"),
        ("0 24 * * *", "its hour"),
        ("0 6 31 2 *", "its day of the month"),
        ("0 6 * JANUARY *", "its month"),
        ("0 6 * * 8", "its day of the week"),
    ],
)
def test_a_cron_expression_that_cannot_be_used_says_why(cron: str, why: str) -> None:
    """What is wrong is named by its field."""
    with pytest.raises(ValueError, match=f"^{why}"):
        check_cron(cron)


@given(
    st.one_of(st.text(), st.lists(st.text("0123456789*/,-#LWSUNMO ", max_size=6), min_size=5, max_size=5).map(" ".join))
)
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    """No text ends in anything but a slot or a sentence."""
    try:
        check_cron(text)
    except ValueError:
        return
    assert Slots(text).following(datetime(2026, 1, 1)) is not None


@given(st.one_of(st.text(), st.sampled_from(["../UTC", "/etc/localtime", "Europe", "posix/", "\0", "a" * 5000])))
def test_any_text_is_a_time_zone_or_is_refused(text: str) -> None:
    """No text ends in anything but a zone or a sentence."""
    try:
        check_time_zone(text)
    except ValueError:
        return
    assert Slots("0 6 * * *", text).following(datetime(2026, 1, 1)) is not None


def test_time_zones_are_known_by_their_names() -> None:
    """A zone is one of the IANA database."""
    assert check_time_zone(BERLIN) == BERLIN
    with pytest.raises(ValueError, match="not a time zone"):
        check_time_zone("Europe/Bonn")
