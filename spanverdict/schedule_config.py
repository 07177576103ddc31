"""The sections ``[[schedule]]`` of the configuration: reports that are made at stated times."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from analytics.schedule import Slots, check_cron, check_time_zone
from spanverdict.price_config import Section

Name = Annotated[str, Field(min_length=1, max_length=200)]


class ScheduleConfig(Section):
    """``[[schedule]]``: which promotions are reported on, and when."""

    name: Name
    cron: Annotated[str, AfterValidator(check_cron)]
    time_zone: Annotated[str, AfterValidator(check_time_zone)] = "UTC"
    promotions: tuple[Name, ...] = ()
    formats: tuple[Literal["html", "md", "json", "junit"], ...] = ()
    directory: Path | None = None
    fail_on_undecided: bool = False
    timeout_minutes: Annotated[FiniteFloat, Field(gt=0, le=1440)] = 60.0
    delay_seconds: Annotated[FiniteFloat, Field(ge=0, le=3600)] = 60.0

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.formats and self.directory is None:
            raise ValueError(f"{self.name!r} has formats and no directory to write files to")
        if self.directory is not None and not self.formats:
            raise ValueError(f'{self.name!r} has a directory and no formats, such as ["html", "md"]')
        return self

    @property
    def slots(self) -> Slots:
        """When it is due."""
        return Slots(self.cron, self.time_zone)

    @property
    def delay(self) -> timedelta:
        """How long after a slot its reports are made, so that what was under way then has arrived."""
        return timedelta(seconds=self.delay_seconds)


def check_schedules(schedules: tuple[ScheduleConfig, ...]) -> tuple[ScheduleConfig, ...]:
    """The schedules, if no two have one name.

    Raises:
        ValueError: two have.
    """
    names = [schedule.name for schedule in schedules]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two have the name {name!r}")
    return schedules
