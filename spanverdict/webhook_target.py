"""Where a webhook is, as the configuration says it: a URL, or the environment variable that holds it."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from analytics.errors import InputError


def check_url(text: str) -> str:
    """The text, if it is an http or https URL.

    Raises:
        ValueError: it is not; the message does not repeat it.
    """
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("it is not an http or https URL, such as https://hooks.example.com/alerts")
    return text


def check_variable(text: str) -> str:
    """The text, if an environment variable may have it as its name.

    Raises:
        ValueError: it may not.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("it is not the name of an environment variable")
    return text


def variable(name: str, whose: str, key: str) -> str:
    """What an environment variable holds.

    Args:
        name: the variable.
        whose: who needs it, such as "the channel 'on-call'".
        key: the key that names it.

    Raises:
        InputError: it is not set, or empty.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise InputError(f"The environment variable {name} is not set; {whose} names it with {key}.")
    return value


def target(url: str | None, url_env: str | None, whose: str) -> str:
    """The URL, from where it is.

    Raises:
        InputError: the variable is not set, or holds no URL; the message does not repeat what it holds.
    """
    if url is not None or url_env is None:
        return url or ""
    try:
        return check_url(variable(url_env, whose, "url_env"))
    except ValueError as error:
        raise InputError(f"The environment variable {url_env} of {whose} cannot be used: {error}.") from error


def masked(url: str) -> str:
    """A URL fit for a message: who is contacted, without the path, which often is the secret."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    origin = f"{parts.scheme}://{host}{port}"
    return f"{origin}/***" if parts.path.strip("/") or parts.query else origin
