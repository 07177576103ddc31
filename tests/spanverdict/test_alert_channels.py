"""Messages arrive at real receivers in the form that each kind of channel promises."""

from __future__ import annotations

import asyncio
import base64
import email
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.policy import default
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme
from aiosmtpd.smtp import AuthResult
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from analytics.alerts.changes import Known, changes
from analytics.alerts.lines import MOST_LINES
from analytics.alerts.message import Message, failed_run_message, report_message
from analytics.alerts.message import test_message as make_test_message
from spanverdict.alert_channels import slack, webhook
from spanverdict.alert_channels.http import wait_asked
from spanverdict.alert_channels.outcome import Outcome
from spanverdict.alert_config import AlertConfig
from spanverdict.delivery import send, shown
from tests.alert_receivers import Receiver, free_port, http_receiver, mail_receiver
from tests.alert_reports import build

NOW = datetime(2026, 11, 10, 8, 30)
SECRET = b"0123456789abcdef0123456789abcdef"
HOSTILE = "<!channel> @here <script>alert(1)</script> &amp; \x1b[31m\r\nBcc: victim@example.com | *x* `y`"
SCHEMA = json.loads((Path(webhook.__file__).parents[2] / "analytics/alerts/message.schema.json").read_text())


def message_of(cells: dict[str, dict[str, str]], promotion: str = "refunds-v2") -> Message:
    """The message on a first report."""
    report = build(cells, promotion=promotion)
    events, _ = changes(report, Known())
    return report_message(report, "r" * 32, events, NOW)


INCIDENT = message_of({"policy_exception": {"groundedness_fail_rate": "REGRESSED", "cost_per_trace": "INCONCLUSIVE"}})
WORST = message_of({f"{HOSTILE} {n}": {f"{HOSTILE} {m}": "REGRESSED" for m in range(8)} for n in range(40)}, HOSTILE)


def sent(channel: AlertConfig, message: Message = INCIDENT) -> Outcome:
    """Send one message."""
    return asyncio.run(send(channel, message, "msg_1", NOW))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP receiver."""
    with http_receiver() as running:
        yield running


def verified(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """The verification that the Standard Webhooks specification describes, written from its text."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.partition(",") for part in headers["webhook-signature"].split(" ")]
    is_recent = abs(int(headers["webhook-timestamp"]) - NOW.replace(tzinfo=UTC).timestamp()) < 300
    return is_recent and any(version == "v1" and hmac.compare_digest(mac, wanted) for version, _, mac in given)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the specification's text gives its signature."""
    secret = webhook.read_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "S")
    found = webhook.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_is_signed_and_follows_its_schema(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver can tell that it is genuine and complete, and drop repetitions by its identity."""
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    monkeypatch.setenv("HOOK_SECRET", secret)
    monkeypatch.setenv("HOOK_URL", f"{receiver.url}/hooks/s3cret")
    monkeypatch.setenv("HOOK_HEADERS", "x-api-key=a%2Cb,x-team=sre")
    channel = AlertConfig(
        name="hook", kind="webhook", url_env="HOOK_URL", secret_env="HOOK_SECRET", headers_env="HOOK_HEADERS",
        base_url="https://sv.example/",
    )  # fmt: skip
    assert sent(channel) == Outcome()
    (request,) = receiver.received
    assert request.path == "/hooks/s3cret"
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == "msg_1"
    assert (request.headers["x-api-key"], request.headers["x-team"]) == ("a,b", "sre")
    assert verified(request.headers, request.body, secret)
    assert not verified(request.headers, request.body + b" ", secret)
    body = json.loads(request.body)
    jsonschema.validate(body, SCHEMA)
    (regression, decision) = body["data"]["events"]
    assert body["type"] == "report.changed"
    assert body["data"]["url"] == f"https://sv.example/reports/{'r' * 32}"
    assert regression["facts"]["interval"] == [0.024, 0.051]
    assert regression["facts"]["exemplars"]["candidate"] == ["b" * 32]
    assert (decision["before"], decision["after"]) == ("hold", "roll_back")
    assert body["data"]["verdicts"] == {"policy_exception": {"INCONCLUSIVE": 1, "REGRESSED": 1}}


def test_the_documented_verification_works() -> None:
    """The code of docs/alerts.md takes what we send, and nothing that was changed, or sent long ago."""
    page = Path(__file__).parents[2] / "docs" / "alerts.md"
    code = page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    documented: dict[str, Any] = {}
    exec(code, documented)  # noqa: S102 (our own documentation)
    secret = f"whsec_{base64.b64encode(SECRET).decode()}"
    key = webhook.read_secret(secret, "S")
    for age, is_genuine in ((0, True), (400, False)):
        now = datetime.now(UTC) - timedelta(seconds=age)
        post = webhook.build(INCIDENT, delivery_id="msg_1", url="https://h.example", now=now, secret=key)
        assert documented["is_genuine"](post.headers, post.body, secret) is is_genuine
        assert not documented["is_genuine"](post.headers, post.body + b" ", secret)


@pytest.mark.parametrize(
    "message",
    [WORST, make_test_message("x", NOW), failed_run_message("nightly", None, INCIDENT.events[0], NOW)],
    ids=["hostile", "test", "failed run"],
)
def test_every_message_follows_the_schema_and_is_read_back(message: Message) -> None:
    """What the store keeps is what was announced."""
    jsonschema.validate(webhook.document(message, None), SCHEMA)
    assert Message.from_dict(json.loads(json.dumps(message.to_dict()))) == message
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**webhook.document(message, None), "type": "other"}, SCHEMA)


def test_slack_gets_one_message_that_says_all(receiver: Receiver) -> None:
    """Headline, what changed with interval and margin, traces, what to do, which report; the text says it as well."""
    channel = AlertConfig(name="s", kind="slack", url=f"{receiver.url}/T/B/x", base_url="https://sv.example")
    assert sent(channel) == Outcome()
    (request,) = receiver.received
    body = json.loads(request.body)
    blocks = json.dumps(body["blocks"], ensure_ascii=False)
    for part in (
        "refunds-v2: 1 regression, 1 decision",
        "groundedness failures on policy_exception rose from 6.1 % to 9.8 % (+2.4 to +5.1 points), margin 1.0 points",
        f"Traces: candidate {'b' * 32}; base {'a' * 32}",
        "Take refunds-v2 back on policy_exception",
        "as of 2026-11-10T00:00:00Z",
    ):
        assert part in blocks
        assert part in body["text"]
    assert f"<https://sv.example/reports/{'r' * 32}|The report>" in blocks


def test_slack_limits_hold_and_nothing_acts() -> None:
    """However much there is to say, and whatever names hold: no mention, no link, no broken entity."""
    body = slack.payload(WORST, None)
    texts = [
        text["text"] for block in body["blocks"] for text in (block.get("text"), *block.get("elements", ())) if text
    ]
    assert len(body["blocks"]) <= 50
    assert sum(map(len, texts)) < 13_000
    assert len(body["text"]) <= 4_000
    assert all(0 < len(text) <= 3_000 for text in texts)
    assert len(body["blocks"][0]["text"]["text"]) <= 150
    for text in [*texts[1:], body["text"]]:
        assert "<" not in text
        assert ">" not in text
        assert "@here" not in text
        assert all(piece.startswith(("amp;", "lt;", "gt;")) for piece in text.split("&")[1:])
    assert any("more change" in text or "do not fit" in text for text in texts)
    assert len(WORST.events) > MOST_LINES


def test_mail_arrives_as_text_and_html() -> None:
    """Both parts say the same; the identity is in the Message-ID."""
    with mail_receiver() as (mailbox, port):
        channel = mail_channel(port)
        assert sent(channel) == Outcome()
    (envelope,) = mailbox.mails
    mail = email.message_from_bytes(envelope.content, policy=default)
    assert envelope.rcpt_tos == ["on-call@example.com", "ml@example.com"]
    assert mail["subject"] == "[spanverdict] refunds-v2: 1 regression, 1 decision"
    assert mail["message-id"] == "<msg_1@spanverdict.invalid>"
    assert mail["auto-submitted"] == "auto-generated"
    text, html = (part.get_content() for part in mail.iter_parts())
    for part in (text, html):
        assert "groundedness failures on policy_exception rose from 6.1 % to 9.8 %" in part
        assert "b" * 32 in part


def mail_channel(port: int, **more: Any) -> AlertConfig:
    """A mail channel on loopback."""
    return AlertConfig(
        name="mail", kind="email", host="127.0.0.1", port=port, sender="spanverdict@example.com",
        recipients=("on-call@example.com", "ml@example.com"), **{"security": "none", **more},
    )  # fmt: skip


def test_names_inject_nothing_into_mail() -> None:
    """A cohort with line breaks and markup adds no header and no element."""
    with mail_receiver() as (mailbox, port):
        assert sent(mail_channel(port), WORST) == Outcome()
    (envelope,) = mailbox.mails
    mail = email.message_from_bytes(envelope.content, policy=default)
    assert mail["bcc"] is None
    assert len(mail["subject"]) <= 150
    html = list(mail.iter_parts())[1].get_content()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_mail_is_tried_again_or_given_up_as_the_server_says() -> None:
    """4xx may be mended by time, 5xx not; a server that is away may come back."""
    with mail_receiver() as (mailbox, port):
        mailbox.answers = ["451 try later", "554 no such thing"]
        later, never = sent(mail_channel(port)), sent(mail_channel(port))
        assert (later.is_final, never.is_final) == (False, True)
        assert never.error == f"127.0.0.1:{port} refused the message with SMTP 554; it is given up."
    gone = sent(mail_channel(free_port()))
    assert gone.error is not None
    assert "refused" in gone.error
    assert not gone.is_final


def test_mail_over_tls_logs_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """STARTTLS checks the certificate and comes before the password; a wrong password is given up."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> Any:
        return AuthResult(success=data.password == b"right", handled=False)

    settings = {"tls_context": context, "require_starttls": True, "authenticator": check, "auth_required": True}
    with mail_receiver(**settings) as (mailbox, port):
        channel = mail_channel(port, security="starttls", user="sv", password_env="MAIL_PASSWORD")
        monkeypatch.setenv("MAIL_PASSWORD", "right")
        untrusted = sent(channel)
        assert untrusted.error == f"The certificate of 127.0.0.1:{port} is not trusted."
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert sent(channel) == Outcome()
        monkeypatch.setenv("MAIL_PASSWORD", "wrong")
        refused = sent(channel)
        # SMTP's login is ASCII. Whatever a transport cannot take does not end the process that serves the others.
        monkeypatch.setenv("MAIL_PASSWORD", "pässword")
        unsendable = sent(channel)
    assert unsendable.error == "A message for the channel 'mail' could not be written or sent: UnicodeEncodeError."
    assert len(mailbox.mails) == 1
    assert refused.is_final
    assert "refused the login" in str(refused.error)
    assert "wrong" not in str(refused.error)


def test_opentelemetry_gets_events_and_a_gauge(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log record with an event name for each change, and how many metrics of each cohort have each verdict."""
    monkeypatch.setenv("OTLP_HEADERS", "authorization=Bearer%20t0ken")
    channel = AlertConfig(name="o", kind="opentelemetry", url=receiver.url, headers_env="OTLP_HEADERS")
    assert sent(channel) == Outcome()
    logs, metrics = receiver.received
    assert (logs.path, metrics.path) == ("/v1/logs", "/v1/metrics")
    assert logs.headers["authorization"] == "Bearer t0ken"
    records = ExportLogsServiceRequest.FromString(logs.body).resource_logs[0].scope_logs[0].log_records
    assert [record.event_name for record in records] == ["spanverdict.regressed", "spanverdict.decision"]
    attributes = {pair.key: pair.value for pair in records[0].attributes}
    assert attributes["spanverdict.cohort"].string_value == "policy_exception"
    assert attributes["spanverdict.interval.high"].double_value == 0.051
    assert records[0].severity_text == "ERROR"
    (gauge,) = ExportMetricsServiceRequest.FromString(metrics.body).resource_metrics[0].scope_metrics[0].metrics
    counts = {point.attributes[2].value.string_value: point.as_int for point in gauge.gauge.data_points}
    assert counts == {"REGRESSED": 1, "INCONCLUSIVE": 1, "IMPROVED": 0, "NO_REGRESSION": 0, "INVALID": 0}


@pytest.mark.parametrize(
    ("answer", "is_final", "wait"),
    [
        (500, False, None),
        ((429, {"Retry-After": "7"}), False, 7.0),
        ((503, {"Retry-After": "not a time"}), False, None),
        (408, False, None),
        (400, True, None),
        (404, True, None),
        (410, True, None),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}), True, None),
    ],
)
def test_answers_decide_whether_to_try_again(
    receiver: Receiver, answer: Any, is_final: bool, wait: float | None
) -> None:
    """What time may mend is tried again; the rest is given up, and redirects are not followed."""
    receiver.answers = [answer]
    outcome = sent(AlertConfig(name="h", kind="webhook", url=f"{receiver.url}/s3cret?token=s3cret"))
    assert (outcome.is_final, outcome.wait_seconds) == (is_final, wait)
    assert outcome.error is not None
    assert "s3cret" not in outcome.error
    assert receiver.url in outcome.error
    assert len(receiver.received) == 1


def test_silence_and_absence_are_told_without_the_secret(receiver: Receiver) -> None:
    """A receiver that hangs, one that is down, one whose name nobody knows."""
    receiver.answers = ["hang"]
    channel = AlertConfig(name="h", kind="slack", url=f"{receiver.url}/s3cret", timeout_seconds=0.2)
    began = time.monotonic()
    silent = sent(channel)
    assert time.monotonic() - began < 2
    assert silent.error == f"{receiver.url}/*** did not answer within 0.2 s."
    gone = sent(channel.model_copy(update={"url": f"http://127.0.0.1:{free_port()}/s3cret"}))
    assert str(gone.error).endswith("/*** could not be reached: the connection was refused.")
    unknown = sent(channel.model_copy(update={"url": "http://nowhere.invalid/s3cret", "timeout_seconds": 5}))
    assert "could not be reached" in str(unknown.error)
    assert "s3cret" not in f"{silent}{gone}{unknown}"
    assert not any(outcome.is_final for outcome in (silent, gone, unknown))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0), ("120", 120.0), ("Tue, 10 Nov 2026 08:31:00 GMT", 60.0), ("Tue, 10 Nov 2020 08:31:00 GMT", 0.0),
        ("999999999999", 6 * 3600.0), ("-5", None), ("soon", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """RFC 9110 allows both; nobody can ask for more than six hours."""
    assert wait_asked(header, NOW.replace(tzinfo=UTC)) == seconds


def test_what_would_be_sent_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body as it is, the URL's path and secret headers masked."""
    monkeypatch.setenv("A_SECRET", f"whsec_{base64.b64encode(SECRET).decode()}")
    monkeypatch.setenv("A_URL", "https://hooks.example.com/T000/s3cret?k=s3cret")
    monkeypatch.setenv("A_HEADERS", "x-key=s3cret")
    monkeypatch.setenv("A_PASSWORD", "s3cret")
    common = {"url_env": "A_URL", "headers_env": "A_HEADERS"}
    channels = [
        AlertConfig(name="w", kind="webhook", secret_env="A_SECRET", **common),
        AlertConfig(name="s", kind="slack", url_env="A_URL"),
        AlertConfig(name="o", kind="opentelemetry", **common),
        AlertConfig(name="g", kind="opentelemetry", protocol="grpc", **common),
        mail_channel(587, security="starttls", user="sv", password_env="A_PASSWORD"),
    ]
    for channel in channels:
        text = shown(channel, INCIDENT, "msg_1", NOW)
        assert "s3cret" not in text
        assert base64.b64encode(SECRET).decode() not in text
        assert "policy_exception" in text
    assert "https://hooks.example.com/***" in shown(channels[0], INCIDENT, "msg_1", NOW)
    assert "x-key: ***" in shown(channels[0], INCIDENT, "msg_1", NOW)


def test_a_missing_variable_is_a_failure_that_can_be_mended() -> None:
    """The message names the variable and waits for it."""
    outcome = sent(AlertConfig(name="h", kind="webhook", url_env="NOT_SET_ANYWHERE"))
    assert (
        outcome.error == "The environment variable NOT_SET_ANYWHERE is not set; the channel 'h' names it with url_env."
    )
    assert not outcome.is_final


@pytest.mark.parametrize("text", ["whsec_", "whsec_short", "not base64 at all!", "whsec_" + "A" * 20])
def test_a_weak_secret_is_refused(text: str) -> None:
    """The message does not repeat it."""
    with pytest.raises(Exception, match="holds no webhook secret") as found:
        webhook.read_secret(text, "S")
    assert text not in str(found.value).replace("whsec_ and", "")


def test_our_own_collector_takes_the_events(start_server: Callable[..., Any]) -> None:
    """Over gRPC and over HTTP; the same record twice is stored once."""
    server = start_server()
    failed = failed_run_message("nightly", "refunds-v2", INCIDENT.events[0], NOW)
    grpc = AlertConfig(name="g", kind="opentelemetry", protocol="grpc", url=f"http://{server.told.grpc}")
    http = AlertConfig(name="h", kind="opentelemetry", url=f"http://{server.told.http}")
    assert [sent(channel, failed) for channel in (grpc, http)] == [Outcome(), Outcome()]
    rows = server.sql("SELECT event_name FROM log_records")
    assert rows == [{"event_name": "spanverdict.regressed"}]
    gone = sent(grpc.model_copy(update={"url": f"http://127.0.0.1:{free_port()}", "timeout_seconds": 1}), failed)
    assert not gone.is_final
    assert "does not take the message now" in str(gone.error)
