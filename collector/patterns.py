"""Patterns of secrets and personal data, as data; collector.masking searches for them.

A pattern has regular expressions in RE2's syntax. Group 1 of each is what stands before the find and is kept. It spares
the escape sequences of JSON: content is often JSON inside a text, where a line break is a backslash and an ``n``, and
neither may become a part of the find nor hide its beginning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_ESCAPED = r"\\u[0-9A-Fa-f]{4}"
_ESCAPE = rf"(?:\\[bfnrt]|{_ESCAPED})"
_START = rf"(^|{_ESCAPE}|[^0-9A-Za-z_])"
_START_OF_DIGITS = rf"(^|{_ESCAPE}|[^0-9A-Za-z_.])"
_LETTERS = r"A-Za-z\x{80}-\x{10FFFF}"

_IBAN_COUNTRIES: Mapping[int, str] = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Length of an account number → the countries that have it (ISO 13616, SWIFT's IBAN registry)."""

_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}


@dataclass(frozen=True)
class Expression:
    """What is searched for.

    Attributes:
        text: a regular expression in RE2's syntax; group 1 is kept.
        find_end: for a candidate, how many of its characters are a find, 0 if it is none; None takes each candidate.
    """

    text: str
    find_end: Callable[[str], int] | None = None


def card_end(candidate: str) -> int:
    """How many characters from the start are a payment card number: 13 to 19 digits, the last a check digit.

    Groups may be parted by one space or hyphen. Source: ISO/IEC 7812-1 (Luhn's formula).
    """
    digits: list[int] = []
    end = 0
    for position, character in enumerate(candidate):
        if character.isdigit():
            digits.append(int(character))
            closed = position + 1 == len(candidate) or not candidate[position + 1].isdigit()
            if closed and 13 <= len(digits) <= 19 and _luhn(digits):  # noqa: PLR2004 (as the docstring says)
                end = position + 1
    return end


def _luhn(digits: list[int]) -> bool:
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])  # noqa: PLR2004 (the sum of the digits)
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban_end(candidate: str) -> int:
    """How many characters from the start are an account number of the length and check digits of its country."""
    length = _IBAN_LENGTHS.get(candidate[:2].upper(), 0)
    compact = ""
    for position, character in enumerate(candidate):
        if character != " ":
            compact += character.upper()
        if len(compact) == length:
            after = candidate[position + 1 : position + 2]
            number = "".join(str(int(one, 36)) for one in compact[4:] + compact[:4])
            return position + 1 if not after.isalnum() and int(number) % 97 == 1 else 0
    return 0


def address_end(candidate: str) -> int:
    """The whole length if the candidate is an IPv6 address that tells of somebody, not ``::`` or ``::1``."""
    if sum(1 for group in candidate.split(":") if group) < 3:  # noqa: PLR2004 (fewer is no host's address)
        return 0
    try:
        ipaddress.IPv6Address(candidate)
    except ValueError:
        return 0
    return len(candidate)


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

PATTERNS: Mapping[str, tuple[Expression, ...]] = {
    "secrets": (
        # Whoever cut the end of a private key off did not make it public.
        Expression(
            r"()-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)"
            r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)"
        ),
        # Keys and tokens that are known by how they begin.
        Expression(
            _START + r"(?:"
            r"(?:gsk_|xai-|pplx-|hf_|r8_|gh[pousr]_|npm_|lin_api_|dop_v1_|dapi|shp(?:at|ca|pa|ss)_|whsec_"
            r"|[rs]k_(?:live|test)_|AGE-SECRET-KEY-1)[A-Za-z0-9]{20,}"
            r"|(?:sk-|github_pat_|gl(?:pat|dt|rt|cbt|ptt)-|AIza|ya29\.|GOCSPX-|hvs\.|xapp-|xox[abeoprs]-|pypi-"
            r"|https://hooks\.slack\.com/services/)[A-Za-z0-9_/-]{20,}"
            r"|(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}|[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}"
            r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
            r")"
        ),
        # What is known by what stands before it: a URL's password, an HTTP header, the name of a setting.
        Expression(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@\"'\\]*:)[^\s/\"'\\\[][^\s/\"'\\]*@"),
        Expression(r"((?i:bearer)\s+)[A-Za-z0-9._~+/-]{16,}=*"),
        Expression(r"((?i:authorization)[\"'\\:= ]+(?i:basic)\s+)[A-Za-z0-9+/]{8,}=*"),
        Expression(
            r"((?i:api[_-]?key|access[_-]?key|secret[_-]?key|account[_-]?key|client[_-]?secret|access[_-]?token"
            r"|auth[_-]?token|refresh[_-]?token|passw(?:or)?d|passphrase)[\"'\\]*\s{0,4}[:=]\s{0,4}[\"'\\]*)"
            r"[^\s\"'\\,;&\[\](){}<>]{6,}"
        ),
    ),
    "email": (
        Expression(
            rf"((?:\\[bfnrt])?)(?:[{_LETTERS}0-9._%+'&*=?^{{}}|~!#$-]|{_ESCAPED})+@"
            rf"(?:(?:[{_LETTERS}0-9-]|{_ESCAPED})+\.)+(?:xn--[a-z0-9-]+|(?:[{_LETTERS}]|{_ESCAPED}){{2,}})"
        ),
    ),
    "iban": (Expression(_START + r"[A-Za-z]{2}[0-9]{2}(?: ?[0-9A-Za-z]){11,29}", iban_end),),
    "credit_card": (
        # In one piece, or in the groups in which cards show it.
        Expression(
            _START_OF_DIGITS + r"(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}(?:[ -][0-9]{4}){3}(?:[ -][0-9]{1,3})?"
            r"|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})\b",
            card_end,
        ),
    ),
    "us_ssn": (
        Expression(
            _START + r"(?:00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6(?:[0-57-9][0-9]|6[0-57-9]))"
            r"[- ](?:0[1-9]|[1-9][0-9])[- ](?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})\b"
        ),
    ),
    "phone": (
        # With its country code (ITU-T E.164), or as North Americans write it.
        Expression(rf"(^|{_ESCAPE}|[^0-9A-Za-z_+])\+[1-9](?:[ ./()-]{{0,2}}[0-9]){{6,14}}\b"),
        Expression(
            _START_OF_DIGITS + r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}\b"
        ),
    ),
    "ip_address": (
        Expression(_START_OF_DIGITS + rf"(?:{_OCTET}\.){{3}}{_OCTET}\b"),
        Expression(
            rf"(^|{_ESCAPE}|[^0-9A-Za-z_:])(?:(?:[0-9A-Fa-f]{{1,4}}:){{7}}[0-9A-Fa-f]{{1,4}}"
            r"|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6})\b",
            address_end,
        ),
    ),
}
"""Name → expressions, in the order in which they are searched for."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""What a pattern may be called."""


class PatternError(ValueError):
    """A pattern that cannot be used; the message ends a sentence that begins with its name."""


def check_known(name: str) -> str:
    """The name, if it is a built-in pattern's.

    Raises:
        PatternError: it is not.
    """
    if name not in PATTERNS:
        raise PatternError(f"it is not a built-in pattern; these are {', '.join(PATTERNS)}")
    return name


def check_name(name: str) -> str:
    """The name of an own pattern, if it may be called so.

    Raises:
        PatternError: it is taken, or is not a name.
    """
    if name in PATTERNS:
        raise PatternError("it is the name of a built-in pattern")
    if not NAME.fullmatch(name):
        raise PatternError("a name has lowercase letters, digits, - and _, at most 32, and begins with a letter")
    return name
