"""When a report is due: the moments of a cron expression in a time zone.

A cron expression is read as Debian's cron reads it, changes of the clock included (cron(8) of Debian, "daylight saving
time"; the library is cronsim): a job at a stated hour that the clock skips runs right after the change, one at an hour
that comes twice runs the first time; a job whose minute or hour is ``*`` follows the clock as it goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

CRON_FIELDS = 5

_LONGEST_CHANGE = timedelta(hours=26)
"""No change of a zone's clock is longer (Samoa left out a day in 2011): a slot so far back is before any of today's."""

_MENDS = {
    "Wrong number of fields": "it has not five fields: minute, hour, day of the month, month, day of the week",
    "Bad minute": "its minute (the 1st field) is not within 0 to 59",
    "Bad hour": "its hour (the 2nd field) is not within 0 to 23",
    "Bad day-of-month": "its day of the month (the 3rd field) is not within 1 to 31, or not in any of its months",
    "Bad month": "its month (the 4th field) is not within 1 to 12 or JAN to DEC",
    "Bad day-of-week": "its day of the week (the 5th field) is not within 0 to 7 or SUN to SAT",
}
"""What the library says → what is wrong, and what would be right."""


@dataclass(frozen=True)
class Slots:
    """The moments at which something is due.

    Attributes:
        cron: minute, hour, day of the month, month and day of the week.
        time_zone: the IANA name of the zone whose clock they are of.
    """

    cron: str
    time_zone: str = "UTC"

    def latest(self, now: datetime) -> datetime | None:
        """The last slot that is not after a moment; None if there was none in 50 years.

        Args:
            now: the moment (UTC, naive).

        Returns:
            The slot (UTC, naive).
        """
        # Backwards the library takes an hour that comes twice for the first of them; forwards all slots are in order.
        moment = _aware(now - _LONGEST_CHANGE, self.time_zone).replace(microsecond=1)
        found = next(CronSim(self.cron, moment, reverse=True), None)
        latest = None if found is None else _naive(found)
        start = moment if found is None else found
        for slot in map(_naive, CronSim(self.cron, start)):
            if slot > now:
                break
            latest = slot
        return latest

    def following(self, moment: datetime) -> datetime | None:
        """The first slot after a moment; None if there is none in 50 years.

        Args:
            moment: the moment (UTC, naive).

        Returns:
            The slot (UTC, naive).
        """
        start = _aware(moment - _LONGEST_CHANGE, self.time_zone)
        return next((slot for slot in map(_naive, CronSim(self.cron, start)) if slot > moment), None)


def check_cron(text: str) -> str:
    """The expression, if it names moments that come.

    Raises:
        ValueError: with what is wrong, and what would be right.
    """
    try:
        if len(text.split()) != CRON_FIELDS:
            raise CronSimError("Wrong number of fields")  # noqa: TRY301 (six fields are the library's own, with seconds)
        comes = next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        raise ValueError(_MENDS.get(str(error), str(error))) from error
    if comes is None:
        raise ValueError("it never comes")
    return text


def check_time_zone(text: str) -> str:
    """The name, if it is that of a zone that is known here.

    Raises:
        ValueError: it is not.
    """
    try:
        ZoneInfo(text)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError("it is not a time zone of the IANA database, such as Europe/Berlin or UTC") from error
    return text


def _aware(moment: datetime, time_zone: str) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(UTC if time_zone == "UTC" else ZoneInfo(time_zone))


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
