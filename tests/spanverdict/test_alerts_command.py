"""`spanverdict alerts` and `spanverdict guard`, as people use them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.alert_receivers import Receiver, http_receiver
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

Cli = Callable[..., Result]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP receiver."""
    with http_receiver() as running:
        yield running


@pytest.fixture
def configured(incident: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The incident's store, with a Slack channel and a guard that calls a webhook."""
    monkeypatch.setenv("SLACK_URL", f"{receiver.url}/slack/s3cret")
    Path("spanverdict.toml").write_text(
        f"""
        [[alerts]]
        name = "on-call"
        kind = "slack"
        url_env = "SLACK_URL"

        [[guard]]
        promotion = "p"
        metrics = ["error_rate"]
        url = "{receiver.url}/roll-back"
        """
    )
    return incident


def rows(result: Result) -> list[dict[str, Any]]:
    """The rows of a listing in JSON."""
    listed: list[dict[str, Any]] = json.loads(result.stdout)
    return listed


def test_an_incident_reaches_the_channel_once(configured: Path, cli: Cli, receiver: Receiver) -> None:  # noqa: ARG001
    """Report, announce, deliver: one message, which says what regressed; again, and nothing is sent."""
    assert cli("alerts", "announce", "p").exit_code == 2
    assert cli("report", "p", "--as-of", "2126-11-08").exit_code == 1
    assert "no report of 'p' yet but of later moments: make one" in cli("alerts", "announce", "p").stderr
    assert cli("report", "p", "--as-of", "2026-11-08T00:00Z").exit_code == 1

    preview = cli("alerts", "announce", "p", "--dry-run")
    assert preview.exit_code == 0
    assert "--- channel on-call" in preview.stdout
    assert "error rate on refunds rose from" in preview.stdout
    assert "s3cret" not in preview.output
    assert rows(cli("alerts", "list", "--format", "json")) == []

    assert cli("alerts", "announce", "p").stderr == "Recorded 6 changes.\n"
    assert cli("alerts", "announce", "p").stderr == "Recorded 0 changes.\n"
    assert "Nothing would be sent." in cli("alerts", "announce", "p", "--dry-run").stderr
    assert "error rate on refunds rose from" in cli("alerts", "deliver", "--dry-run").stdout
    assert receiver.received == []

    sent = cli("alerts", "deliver")
    assert (sent.exit_code, sent.stderr) == (0, "on-call (alert): sent.\n")
    assert cli("alerts", "deliver").stderr == "Nothing is due.\n"
    assert [request.path for request in receiver.received] == ["/slack/s3cret"]

    listed = rows(cli("alerts", "list", "--promotion", "p", "--format", "json"))
    assert {(row["change"], row["cohort"], row["metric"]) for row in listed} >= {
        ("regressed", "refunds", "error_rate"), ("decision", "refunds", None),
    }  # fmt: skip
    assert [row["status"] for row in rows(cli("alerts", "deliveries", "--format", "json"))] == ["sent"]


def test_a_channel_can_be_tested(configured: Path, cli: Cli, receiver: Receiver) -> None:  # noqa: ARG001
    """The message says that it is a test; a dry run sends nothing; failure and unknown names are said."""
    assert "TEST: spanverdict alerts" in cli("alerts", "test", "on-call", "--dry-run").stdout
    assert receiver.received == []
    assert cli("alerts", "test", "on-call").exit_code == 0
    assert "This is a test of the channel on-call: nothing happened." in receiver.received[0].body.decode()
    receiver.answers = [404]
    refused = cli("alerts", "test", "on-call")
    assert (refused.exit_code, refused.stderr) == (
        1, f"Error: on-call: {receiver.url}/*** refused the message with HTTP 404; it is given up.\n",
    )  # fmt: skip
    unknown = cli("alerts", "test", "nobody")
    assert (unknown.exit_code, unknown.stderr) == (
        2, "Error: There is no channel 'nobody' in [[alerts]]; configured are 'on-call'.\n",
    )  # fmt: skip


def test_what_is_not_sent_is_said(
    configured: Path,  # noqa: ARG001 (beside it)
    cli: Cli,
    receiver: Receiver,
    monkeypatch: Any,
) -> None:
    """With the reason, without the secret, with a status that a script sees; the doctor has it and what is misnamed."""

    def found() -> list[str]:
        findings = json.loads(cli("doctor", "--format", "json").stdout)
        return [row["detail"] for row in findings if row["check"] in ("alerts", "guard")]

    assert found() == ["1 channel, 1 guard."]
    cli("report", "p", "--as-of", "2026-11-08T00:00Z")
    cli("alerts", "announce", "p")
    receiver.answers = [500]
    reason = f"{receiver.url}/*** answered with HTTP 500."
    failed = cli("alerts", "deliver", "--quiet")
    assert failed.exit_code == 1
    assert failed.stderr == f"on-call (alert): not sent, will be tried again: {reason}\n"
    (row,) = rows(cli("alerts", "deliveries", "--format", "json"))
    assert (row["status"], row["attempts"]) == ("pending", 1)
    assert "s3cret" not in json.dumps(row)

    monkeypatch.delenv("SLACK_URL")
    file = Path("spanverdict.toml")
    file.write_text(
        file.read_text().replace('kind = "slack"', 'kind = "slack"\npromotions = ["p", "r"]')
        + '\n[[guard]]\npromotion = "q"\n'
    )
    assert found() == [
        "The environment variable SLACK_URL is not set; the channel 'on-call' names it with url_env.",
        "The channel 'on-call' is told of 'r', and there is no such promotion.",
        "The guard of 'q' watches nothing: there is no such promotion.",
        f"1 message to 'on-call' tried in vain, not given up yet: {reason}",
    ]


def test_the_schema_is_printed(cli: Cli) -> None:
    """It is JSON, and needs no store."""
    assert json.loads(cli("alerts", "schema").stdout)["title"] == "What spanverdict's webhooks get"


def test_a_guard_rolls_a_cohort_back_once(configured: Path, cli: Cli, receiver: Receiver) -> None:
    """A dry run changes nothing; then one call with what a gateway needs; looking again adds nothing."""
    dry = cli("guard", "check", "--dry-run")
    assert dry.exit_code == 0
    assert "p, refunds: would be rolled back. Guard: error rate on refunds rose from" in dry.stdout
    assert rows(cli("alerts", "deliveries", "--format", "json")) == []

    assert "p, refunds: rolled back." in cli("guard", "check", "--promotion", "p").stdout
    assert cli("guard", "check").stdout == ""
    assert cli("alerts", "deliver").exit_code == 0
    assert sorted(request.path for request in receiver.received) == ["/roll-back", "/slack/s3cret"]
    (call,) = (json.loads(each.body) for each in receiver.received if each.path == "/roll-back")
    (event,) = call["data"]["events"]
    assert call["type"] == "guard.roll_back"
    assert call["data"]["promotion"] == {"name": "p", "base": "m0", "candidate": "m1"}
    assert (event["cohort"], event["metric"], event["after"]) == ("refunds", "error_rate", "roll_back")
    assert event["facts"]["interval"][0] > 0
    assert event["facts"]["exemplars"]["candidate"]
    with store_at(configured) as store:
        stored = store.read("SELECT report_id FROM reports")["report_id"].to_pylist()
    assert stored == [call["data"]["report"]["report_id"]]


def test_a_guard_that_finds_nothing_keeps_nothing(promoted: Path, fill: Callable[..., None], cli: Cli) -> None:
    """Two equal models: no event, no report, status 0; a metric that does not exist is said."""
    Path("spanverdict.toml").write_text('[[guard]]\npromotion = "p"\nmetrics = ["eror_rate"]\n')
    fill(promoted, "m0", failing=5)
    fill(promoted, "m1", failing=5)
    checked = cli("guard", "check")
    assert (checked.exit_code, checked.stdout) == (0, "")
    misnamed, nothing = checked.stderr.splitlines()
    assert misnamed.startswith("p: no metric eror_rate in the report, so nothing guards it; there are ")
    assert "error_rate" in misnamed.partition("there are")[2]
    assert nothing == "p: nothing to roll back that was not before."
    with store_at(promoted) as store:
        assert store.read("SELECT * FROM reports").num_rows == 0


@pytest.mark.any_store
def test_a_guard_needs_its_section(promoted: Path, cli: Cli) -> None:  # noqa: ARG001
    """And a promotion that exists."""
    missing = cli("guard", "check", "--promotion", "p")
    assert missing.exit_code == 2
    assert missing.stderr.startswith("Error: There is no [[guard]] for 'p' in the configuration; add one")
    Path("spanverdict.toml").write_text('[[guard]]\npromotion = "q"\n')
    assert cli("guard", "check", "--promotion", "q").stderr.startswith("Error: There is no promotion 'q'")


MAIL = '[[alerts]]\nname = "a"\nkind = "email"\nhost = "h"\nsender = "a@b"\nrecipients = ["c@d"]\n'
VALID = 'kind = "webhook"\nurl = "https://h.example/x"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[[alerts]]\nname = "a"\nkind = "slack"\n',
            "'a' needs either url, or url_env with the variable that holds it",
        ),
        (
            f'[[alerts]]\nname = "a"\n{VALID}url_env = "U"\n',
            "'a' needs either url, or url_env with the variable that holds it",
        ),
        (f'[[alerts]]\nname = "a"\n{VALID}host = "h"\n', "'a' is of the kind webhook, which does not read host"),
        ('[[alerts]]\nname = "a"\nkind = "email"\nhost = "h"\n', "'a' is of the kind email and has no sender"),
        (
            MAIL + 'user = "u"\n',
            "'a' needs both user and password_env, or neither",
        ),
        (
            MAIL + 'user = "u"\npassword_env = "P"\nsecurity = "none"\n',
            "'a' would send its password in the clear; set security to starttls or tls",
        ),
        (f'[[alerts]]\nname = "a"\n{VALID}[[alerts]]\nname = "a"\n{VALID}', "two channels have the name 'a'"),
        (f'[[alerts]]\nname = "a"\n{VALID}on = ["sometimes"]\n', "alerts.0.on.0"),
        ('[[alerts]]\nname = "a"\nkind = "slack"\nurl = "s3cret"\n', "it is not an http or https URL"),
        ('[[alerts]]\nname = "a"\nkind = "slack"\nurl_env = "https://h/s3cret"\n', "not the name of an environment"),
        (
            '[[alerts]]\nname = "a"\nkind = "email"\nhost = "h"\nsender = "a@b\\r\\nBcc: c@d"\nrecipients = ["c@d"]\n',
            "it is not an address, such as on-call@example.com",
        ),
        ('[[guard]]\npromotion = "p"\n[[guard]]\npromotion = "p"\n', "two guards watch the promotion 'p'"),
        ('[[guard]]\npromotion = "p"\nsecret_env = "S"\n', "the guard of 'p' has a secret_env and no url to sign for"),
        ('[[guard]]\npromotion = "p"\nevery_seconds = 1\n', "guard.0.every_seconds"),
        ('[[guard]]\npromotion = "p"\ntimeout_second = 1\n', "did you mean"),
    ],
)
def test_a_wrong_section_is_a_sentence(workdir: Path, cli: Cli, text: str, sentence: str) -> None:
    """It names the file and the mend, and repeats no secret."""
    (workdir / "spanverdict.toml").write_text(text)
    result = cli("alerts", "deliver")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: spanverdict.toml: ")
    assert sentence in result.stderr
    assert "s3cret" not in result.stderr


def test_a_server_guards_and_sends_by_itself(
    configured: Path, start_server: Callable[..., Any], cli: Cli, receiver: Receiver
) -> None:
    """From its start on it looks, has the webhook called and the channel told, each once."""
    server = start_server(configured)
    # The receiver has it before the process that sent it has said so.
    deadline, told = time.monotonic() + 60, "SELECT status, count(*) AS n FROM alert_deliveries GROUP BY ALL"
    while server.sql(told) != [{"status": "sent", "n": 2}] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert server.sql(told) == [{"status": "sent", "n": 2}]
    assert sorted(request.path for request in receiver.received) == ["/roll-back", "/slack/s3cret"]
    assert {row["change"] for row in rows(cli("alerts", "list", "--format", "json"))} == {"guard"}
    assert server.stop() == 0
