"""The configuration of schedules: what is wrong is said in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spanverdict.config import ConfigError, load


def test_a_schedule_is_read(workdir: Path) -> None:
    """Every key, and what holds where none is given."""
    (workdir / "spanverdict.toml").write_text(
        """
        [[schedule]]
        name = "nightly"
        cron = "0 6 * * *"
        time_zone = "Europe/Berlin"
        promotions = ["refunds-v2"]
        formats = ["html", "md"]
        directory = "reports"
        fail_on_undecided = true
        timeout_minutes = 5

        [[schedule]]
        name = "hourly"
        cron = "0 * * * *"
        """
    )
    nightly, hourly = load(None).schedule
    assert (nightly.slots.cron, nightly.slots.time_zone) == ("0 6 * * *", "Europe/Berlin")
    assert (nightly.promotions, nightly.formats, nightly.directory) == (
        ("refunds-v2",),
        ("html", "md"),
        Path("reports"),
    )
    assert (nightly.fail_on_undecided, nightly.timeout_minutes) == (True, 5)
    assert (hourly.time_zone, hourly.promotions, hourly.directory, hourly.timeout_minutes) == ("UTC", (), None, 60)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('cron = "0 6 * * *"', "s.toml: 'schedule.0.name' is missing."),
        ('name = "n"', "s.toml: 'schedule.0.cron' is missing."),
        (
            'name = "n"\ncron = "61 * * * *"',
            "s.toml: 'schedule.0.cron' is '61 * * * *', but its minute (the 1st field) is not within 0 to 59.",
        ),
        (
            'name = "n"\ncron = "@daily"',
            (
                "s.toml: 'schedule.0.cron' is '@daily', but it has not five fields: minute, hour, day of the month, "
                "month, day of the week."
            ),
        ),
        (
            'name = "n"\ncron = "0 6 * * *"\ntime_zone = "Berlin"',
            ("s.toml: 'schedule.0.time_zone' is 'Berlin', but it is not a time zone of the IANA database, such as "
            "Europe/Berlin or UTC."),
        ),
        (
            'name = "n"\ncron = "0 6 * * *"\nformats = ["html"]',
            "s.toml: 'schedule.0' cannot be used: 'n' has formats and no directory to write files to.",
        ),
        (
            'name = "n"\ncron = "0 6 * * *"\ndirectory = "d"',
            "s.toml: 'schedule.0' cannot be used: 'n' has a directory and no formats, such as [\"html\", \"md\"].",
        ),
        (
            'name = "n"\ncron = "0 6 * * *"\n[[schedule]]\nname = "n"\ncron = "0 7 * * *"',
            "s.toml: 'schedule' cannot be used: two have the name 'n'.",
        ),
        (
            'name = "n"\ncron = "0 6 * * *"\ntimezone = "UTC"',
            "s.toml: unknown key 'schedule.0.timezone'; did you mean 'time_zone'?",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(workdir: Path, lines: str, sentence: str) -> None:
    """The file, the key, and what would be right."""
    (workdir / "s.toml").write_text(f"[[schedule]]\n{lines}\n")
    with pytest.raises(ConfigError) as caught:
        load(Path("s.toml"))
    assert str(caught.value) == sentence


def test_schedules_may_stand_in_the_environment(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section is given as JSON; what is wrong names the variable."""
    assert workdir.is_dir()
    monkeypatch.setenv("SPANVERDICT_SCHEDULE", json.dumps([{"name": "n", "cron": "0 6 * * *"}]))
    assert [each.name for each in load(None).schedule] == ["n"]
    monkeypatch.setenv("SPANVERDICT_SCHEDULE", json.dumps([{"name": "n", "cron": "0 25 * * *"}]))
    with pytest.raises(ConfigError, match=r"The environment variable SPANVERDICT_SCHEDULE: .schedule\.0\.cron."):
        load(None)
