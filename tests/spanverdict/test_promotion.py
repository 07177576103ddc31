"""Registering promotions: which options go together, and what each is told as."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import Result

from analytics.promotions import find_promotion
from sql.access import open_store
from sql.address import StoreAddress
from sql.clock import utc_now

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]

ADD = ("promotion", "add", "q", "--base", "m0", "--candidate", "m1")
PRODUCTION = ("--at", "2026-11-02", "--cohort-by", "app.cohort")
SHARE = ("promotion", "share", "p", "--candidate-share", "0.5")


def shown(cli: Cli, name: str) -> Any:
    """A promotion as the command line shows it."""
    return json.loads(cli("promotion", "show", name).stdout)[0]


@pytest.mark.any_store
@pytest.mark.usefixtures("db")
def test_before_and_after(cli: Cli) -> None:
    """A candidate that took over at one moment is registered with that moment, strata and a declared end."""
    added = cli(
        *ADD, *PRODUCTION, "--design", "before_after", "--planned-end", "2026-11-16", "--stratify-by", "app.tier"
    )
    assert added.exit_code == 0
    assert added.stderr == (
        "Promotion q: m1 beside m0 before and after 2026-11-02T00:00:00Z, until 2026-11-16T00:00:00Z as planned, "
        "by app.cohort, within each app.tier.\n"
    )
    assert shown(cli, "q")["design"] == "before_after"


@pytest.mark.usefixtures("db")
def test_nothing_is_declared_unless_it_is_said(cli: Cli) -> None:
    """A promotion without the new options has no end, no strata and no change of its share."""
    assert cli(*ADD, *PRODUCTION).exit_code == 0
    promotion = shown(cli, "q")
    assert [promotion[key] for key in ("planned_end", "stratify_by", "share_changes")] == [None, [], []]


@pytest.mark.usefixtures("promoted")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--design", "before_after", "--cohort-by", "c"), "--at is missing: the design before_after needs to know"),
        (("--design", "before_after", "--at", "2026-11-02"), "--cohort-by is missing: the design before_after needs"),
        (
            (*PRODUCTION, "--design", "before_after", "--candidate-share", "0.5"),
            "--candidate-share does not apply: in the design before_after all users get the candidate from --at on.",
        ),
        ((*PRODUCTION, "--design", "before_after", "--dataset", "d"), "--dataset belongs to --design held_out"),
        (
            (*PRODUCTION, "--planned-end", "2026-11-02"),
            "--planned-end is 2026-11-02T00:00:00Z, which is not after the beginning, 2026-11-02T00:00:00Z: give",
        ),
        (
            ("--design", "mirrored", "--planned-end", "2026-11-16"),
            "--at is missing: --planned-end says how long the comparison lasts, from its beginning on.",
        ),
        ((*PRODUCTION, "--planned-end", "soon"), "'soon' is not an ISO 8601 time"),
        ((*PRODUCTION, "--candidate-share", "nan"), "'nan' is not a number."),
        ((*PRODUCTION, "--stratify-by", " "), "--stratify-by is empty."),
        (
            (*PRODUCTION, "--stratify-by", "a", "--stratify-by", "b", "--stratify-by", "a"),
            "--stratify-by a is given twice: give each attribute once.",
        ),
        (
            (*PRODUCTION, "--stratify-by", "app.cohort"),
            "--stratify-by app.cohort is what cohorts are made by already: leave it out.",
        ),
        (
            ("--design", "mirrored", "--stratify-by", "a"),
            "--stratify-by does not apply: in the design mirrored both models answer the same requests.",
        ),
        (
            ("--design", "held_out", "--dataset", "d", "--stratify-by", "a"),
            "--stratify-by does not apply: in the design held_out both models answer the same requests.",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(cli: Cli, options: tuple[str, ...], sentence: str) -> None:
    """Each combination of options without sense gets a sentence of its own, and registers nothing."""
    result = cli(*ADD, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(json.loads(cli("promotion", "list", "--format", "json").stdout)) == 1


def test_a_canary_in_steps(promoted: StoreAddress, cli: Cli) -> None:
    """Each step has its moment, now unless one is given; a step said again for its moment replaces the first."""
    for share, *at in (("0.05", "--at", "2026-11-03"), ("0.5",), ("0.25", "--at", "2026-11-04T12:00+02:00"),
                       ("0.1", "--at", "2026-11-03")):  # fmt: skip
        assert cli("promotion", "share", "p", "--candidate-share", share, *at).exit_code == 0
    with open_store(promoted) as store:
        *dated, now = find_promotion(store, "p").share_changes
    assert dated == [(datetime(2026, 11, 3), 0.1), (datetime(2026, 11, 4, 10), 0.25)]
    assert now[1] == 0.5
    assert abs(now[0] - utc_now()) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("promotion", "share", "q", "--candidate-share", "0.5"), "There is no promotion 'q'; known here are p."),
        (SHARE[:3], "Missing option '--candidate-share'"),
        ((*SHARE[:4], "1"), "Invalid value for '--candidate-share'"),
        (
            (*SHARE, "--at", "2026-11-02"),
            "p began at 2026-11-02T00:00:00Z with the share that `promotion add` was given; a change comes after that.",
        ),
        ((*SHARE, "--at", "2026-11-20"), "p ended at 2026-11-20T00:00:00Z; a change comes before that."),
    ],
)
def test_a_step_that_cannot_be(promoted: StoreAddress, cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    """A change of the share outside of the promotion's life, or to no share, is refused; nothing is stored."""
    assert cli("promotion", "end", "p", "--at", "2026-11-20").exit_code == 0
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    with open_store(promoted) as store:
        assert find_promotion(store, "p").share_changes == ()


@pytest.mark.usefixtures("db")
def test_only_a_split_has_shares(cli: Cli) -> None:
    """Where all users get the candidate there is no share to change."""
    assert cli(*ADD, *PRODUCTION, "--design", "before_after").exit_code == 0
    result = cli("promotion", "share", "q", "--candidate-share", "0.5")
    assert result.exit_code == 2
    assert "q has the design before_after: only in concurrent has the candidate a share." in result.stderr


@pytest.mark.usefixtures("db")
def test_no_name_steers_the_terminal(cli: Cli) -> None:
    """What is said of a promotion spells out what could act, in remarks, tables and errors."""
    evil = "p\x1b[2J\u202e"
    said = [
        cli(
            "promotion", "add", evil, "--base", "m0\x07", "--candidate", "m1", "--at", "2026-11-02", "--cohort-by", "c"
        ),
        cli("promotion", "share", evil, "--candidate-share", "0.5", "--at", "2026-11-03"),
        cli("promotion", "list"),
        cli("promotion", "end", evil, "--at", "2026-11-04"),
        cli("report", evil),
        cli("report", "q\x1b"),
    ]
    assert [answer.exit_code for answer in said] == [0, 0, 0, 0, 3, 2]
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(answer.output for answer in said))
    assert r"p\x1b[2J\u202e" in said[-1].stderr
