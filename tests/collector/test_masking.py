"""Patterns of secrets and personal data: what is found, what is left alone, and that nothing found is left behind."""

from __future__ import annotations

import json
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.masking import Masker, check_expression
from collector.patterns import PATTERNS, PatternError, card_end, check_name, iban_end

ALL = Masker(tuple(PATTERNS), {})

FOUND = {
    "secrets": [
        "sk-proj-" + "a1B2" * 10,
        "sk-ant-api03-" + "x" * 40,
        "AKIA" + "IOSFODNN7EXAMPLE",
        "ghp_" + "a" * 36,
        "github_pat_" + "A1" * 20,
        "glpat-" + "z" * 20,
        "xoxb-" + "123456789012-abcdefABCDEF",
        "sk_live_" + "4" * 24,
        "AIza" + "S" * 35,
        "hf_" + "q" * 34,
        "npm_" + "n" * 36,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\nMIIEvQ",
    ],
    "email": ["bob@example.com", "b.o'b+tag@mail.example.co.uk", "josé@münchen.de"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "fr1420041010050500013m02606"],
    "credit_card": [
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "378282246310005",
        "3782 822463 10005",
        "6011111111111117",
    ],
    "us_ssn": ["123-45-6789", "078 05 1120"],
    "phone": ["+49 30 901820", "+1 (212) 555-0123", "(212) 555-0123", "212-555-0123"],
    "ip_address": ["10.1.2.3", "255.255.255.255", "2001:db8::8a2e:370:7334", "2001:db8:0:1:1:1:1:1"],
}
LEFT_ALONE = [
    "ft:gpt-4o-mini-2024-07-18:acme:refunds:1",
    "claude-3-5-sonnet-20240620",
    "chatcmpl-AugxBIoQzz2zFMWFoiyS3Vmm1OuQI",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00f067aa0ba902b7",
    "550e8400-e29b-41d4-a716-446655440000",
    "1793000000000000000",
    "1793000000000",
    "2026-11-02T10:15:30.123456Z",
    "[0.4532015112830366,4.532015112830366,-0.37828224631000]",
    "max_tokens=12345678",
    "The password is not told here.",
    "std::vector<int> a::b, at 12:30:45",
    "4111 1111 1111 1112",
    "DE88 3704 0044 0532 0130 00",
    "000-12-3456 and 666-12-3456",
    "version 1.2.3",
    "a@b and @handle",
    "sk-learn, task-oriented, risk-averse-to-everything-else",
]

PLANTED = [(name, text) for name, texts in FOUND.items() for text in texts]


def masked(text: str, masker: Masker = ALL) -> str:
    """One text without what is found in it."""
    result: str = masker.mask(pa.array([text], pa.string())).texts[0].as_py()
    return result


@pytest.mark.parametrize(("name", "text"), PLANTED)
def test_finds(name: str, text: str) -> None:
    """Each is found by its own pattern, alone and in a sentence, and only it is replaced."""
    only = Masker((name,), {})
    assert masked(text, only) == f"[redacted:{name}]"
    # A key whose end is cut off takes the rest with it.
    tail = "" if text.endswith("MIIEvQ") else ", thanks"
    assert masked(f"It is {text}{tail}", only) == f"It is [redacted:{name}]{tail}"


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    """Models, ids, times, counts, vectors and numbers with wrong check digits stay as they are."""
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("postgres://app:p@ss@db.internal/x", "postgres://app:[redacted:secrets]db.internal/x"),
        ("Authorization: Bearer abcdef0123456789abcd", "Authorization: Bearer [redacted:secrets]"),
        ('{"password": "hunter22", "user": "x"}', '{"password": "[redacted:secrets]", "user": "x"}'),
        ("OPENAI_API_KEY=verysecretvalue1 go", "OPENAI_API_KEY=[redacted:secrets] go"),
        ('"{\\"client_secret\\":\\"abcdef99\\"}"', '"{\\"client_secret\\":\\"[redacted:secrets]\\"}"'),
    ],
)
def test_what_is_known_by_its_name(text: str, result: str) -> None:
    """A value that follows a telling name goes, the name stays, and JSON stays JSON."""
    assert masked(text, Masker(("secrets",), {})) == result


@pytest.mark.parametrize(("name", "text"), PLANTED)
@pytest.mark.parametrize("before", ["\n", "\t", "é", '"', "\\", "a\r\n"])
def test_inside_json(name: str, text: str, before: str) -> None:
    """In JSON inside a text, escape sequences neither hide a find nor are broken by it."""
    document = json.dumps([{"role": "user", "content": before + text}])
    result = masked(document, Masker((name,), {}))
    assert f"[redacted:{name}]" in result
    if "BEGIN" not in text:
        content = json.loads(result)[0]["content"]
        assert content.startswith(before) or (name, before) == ("email", "é"), "a letter is a part of an address"
        assert content.endswith(f"[redacted:{name}]")


@given(before=st.text(max_size=40), after=st.text(max_size=40), planted=st.sampled_from(PLANTED))
def test_a_planted_secret_is_never_left(before: str, after: str, planted: tuple[str, str]) -> None:
    """Between any texts, parted from them by a space, what was planted is gone."""
    name, text = planted
    assert text not in masked(f"{before} {text} {after}", Masker((name,), {}))


@given(texts=st.lists(st.one_of(st.none(), st.text(alphabet='0123456789 -.:@ab/sk_+\\"n{}D\u00e9', max_size=200))))
def test_masking_never_raises_and_says_what_it_changed(texts: list[str | None]) -> None:
    """Whatever the texts, each one that is marked differs, each one that is not is as it was, null stays null."""
    result = ALL.mask(pa.array(texts, pa.string()))
    for before, after, changed in zip(texts, result.texts.to_pylist(), result.changed.tolist(), strict=True):
        assert (before != after) == changed


@given(
    digits=st.lists(st.integers(0, 9), min_size=14, max_size=14),
    noise=st.text(alphabet="0123456789 -", max_size=20),
    separator=st.sampled_from(["", " ", "-"]),
)
def test_a_card_number_is_found_after_other_digits(digits: list[int], noise: str, separator: str) -> None:
    """Digits that stand before a card number, parted by a space, do not hide it."""
    number = "4" + "".join(map(str, digits))
    number += next(last for last in "0123456789" if card_end(number + last) == len(number) + 1)
    shown = separator.join(number[start : start + 4] for start in range(0, 16, 4))
    assert shown not in masked(f"{noise} {shown}", Masker(("credit_card",), {}))


def test_account_numbers_end_where_their_country_says() -> None:
    """An account number is followed by words without hiding in them; a longer run of letters is none."""
    assert iban_end("DE89 3704 0044 0532 0130 00 and") == len("DE89 3704 0044 0532 0130 00")
    assert iban_end("DE89370400440532013000X") == 0
    assert masked("AB12 DE89 3704 0044 0532 0130 00 and") == "AB12 [redacted:iban] and"


@pytest.mark.parametrize("name", ["credit_card", "iban"])
def test_letters_of_any_alphabet_end_a_number(name: str) -> None:
    """What the check in Python looks at is what the search found, also beside letters that are not ASCII."""
    for text in FOUND[name]:
        assert masked(f"é{text}é", Masker((name,), {})) == f"é[redacted:{name}]é"


def test_an_own_pattern_goes_first() -> None:
    """It is searched for before the built-in ones, with its own name."""
    masker = Masker(("email",), {"ticket": r"(?i)tck-\d+@example\.com|TCK-\d+"})
    assert masked("TCK-7 tck-8@example.com b@example.com", masker) == (
        "[redacted:ticket] [redacted:ticket] [redacted:email]"
    )


@pytest.mark.parametrize("expression", ["(", "a*", "(?<=x)y", "\\Qx", "a)|(b", "\ud800"])
def test_an_expression_that_cannot_be_used(expression: str) -> None:
    """What RE2 does not know, or what finds nothing everywhere, is refused."""
    with pytest.raises(PatternError):
        check_expression(expression)


@pytest.mark.parametrize("name", ["email", "", "A", "a b", "a]", "x" * 33])
def test_a_name_that_cannot_be_used(name: str) -> None:
    """A pattern is not called like a built-in one, nor so that its mark could be misread."""
    with pytest.raises(PatternError):
        check_name(name)


@pytest.mark.parametrize(
    "part",
    ["a@a.", "4111 ", "41", "DE89 ", "1:", "-----BEGIN PRIVATE KEY-----", "eyJ", "password=", "+1 ", "://:", "sk-"],
)
def test_hostile_text_takes_linear_time(part: str) -> None:
    """Text made to look like a find over and over costs at most in proportion to its length."""

    def seconds(size: int) -> float:
        texts = pa.array([part * (size // len(part))])
        start = time.perf_counter()
        ALL.mask(texts)
        return time.perf_counter() - start

    seconds(1000)
    small, large = min(seconds(50_000) for _ in range(3)), min(seconds(800_000) for _ in range(2))
    # Sixteen times the text: quadratic would be 256 times the time.
    assert large < 80 * small + 0.05
