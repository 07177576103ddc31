"""A message by SMTP: plain text, and the same as HTML."""

from __future__ import annotations

import html
import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from analytics.alerts.lines import Lines, lines
from analytics.alerts.message import Message
from analytics.report.text import visible
from spanverdict.alert_channels.outcome import SENT, Outcome
from spanverdict.alert_channels.webhook import report_url

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_SUBJECT_LIMIT = 150
_LAST_TEMPORARY = 499
_FIRST_TEMPORARY = 400


@dataclass(frozen=True)
class Server:
    """Where mail is handed in.

    Attributes:
        host: its name.
        port: its port; None for the usual one of ``security``.
        security: ``starttls``, ``tls`` or ``none``.
        user: who hands it in; None without a login.
        password: the password.
        timeout_seconds: how long each step may take.
    """

    host: str
    port: int | None = None
    security: str = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout_seconds: float = 10.0

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port or _PORTS[self.security]}"


def build(
    message: Message, *, delivery_id: str, sender: str, recipients: tuple[str, ...], base_url: str | None, now: datetime
) -> EmailMessage:
    """The mail that carries a message.

    Args:
        message: what is told.
        delivery_id: its identity, in the Message-ID: the same at every attempt.
        sender: whom it is from.
        recipients: whom it is to.
        base_url: where reports can be seen; None where nobody shows them.
        now: when it is sent (UTC, naive).
    """
    said, link = lines(message), report_url(message, base_url)
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = visible(f"[spanverdict] {said.title}", _SUBJECT_LIMIT)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(now.replace(tzinfo=UTC))
    mail["Message-ID"] = f"<{delivery_id}@spanverdict.invalid>"
    # No vacation notes and no loops (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{said.text(link)}\n")
    mail.add_alternative(_html(said, link), subtype="html")
    return mail


def _html(said: Lines, link: str | None) -> str:
    escaped = html.escape
    events = "".join(f"<li>{escaped(event).replace(chr(10), '<br>')}</li>" for event in said.events)
    rest = f"<p>{escaped(said.left_out)}</p>" if said.left_out else ""
    shown = f' · <a href="{escaped(link)}">The report</a>' if link else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"{escaped(said.title)}</title></head><body><h1>{escaped(said.title)}</h1><p>{escaped(said.headline)}</p>"
        f"<ul>{events}</ul>{rest}<p><strong>What to do</strong>: {escaped(said.what_to_do)}</p>"
        f"<p>{escaped(said.origin)}{shown}</p></body></html>\n"
    )


def send(mail: EmailMessage, server: Server) -> Outcome:
    """Hand a mail in; answers of 4xx are tried again, of 5xx given up."""
    try:
        with _connect(server) as client:
            if server.security == "starttls":
                client.starttls(context=ssl.create_default_context())
            if server.user is not None:
                client.login(server.user, server.password or "")
            refused = client.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        return _refused(server, "every recipient", max(codes, default=_LAST_TEMPORARY))
    except smtplib.SMTPResponseException as error:
        what = "the login" if isinstance(error, smtplib.SMTPAuthenticationError) else "the message"
        return _refused(server, what, error.smtp_code)
    except (smtplib.SMTPException, OSError) as error:
        return _unreachable(server, error)
    if refused:
        # The others have it; another attempt would send it to them twice.
        return Outcome(f"{server.address} refused {len(refused)} of the recipients; the others have it.", is_final=True)
    return SENT


def _unreachable(server: Server, error: Exception) -> Outcome:
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return Outcome(
            f"{server.address} does not offer what security, user and password_env ask for; mend them.", is_final=True
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome(f"The certificate of {server.address} is not trusted.")
    if isinstance(error, TimeoutError):
        return Outcome(f"{server.address} did not answer within {server.timeout_seconds:g} s.")
    reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "the connection ended"
    return Outcome(f"{server.address} could not be reached: {reason}.")


def _connect(server: Server) -> smtplib.SMTP:
    port = server.port or _PORTS[server.security]
    if server.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(server.host, port, timeout=server.timeout_seconds, context=context)
    return smtplib.SMTP(server.host, port, timeout=server.timeout_seconds)


def _refused(server: Server, what: str, code: int) -> Outcome:
    is_final = not _FIRST_TEMPORARY <= code <= _LAST_TEMPORARY
    end = "; it is given up" if is_final else ""
    return Outcome(f"{server.address} refused {what} with SMTP {code}{end}.", is_final=is_final)
