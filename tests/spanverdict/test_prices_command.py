"""`spanverdict prices`: what applies, what has no price and what to write, history priced anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from collector.decode import decode_traces
from collector.rows import span_rows
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


BEGAN = datetime(2026, 11, 2)
TUNED = "ft:gpt-4.1-mini-2025-04-14:acme:refunds:1"
Cli = Callable[..., Result]
Put = Callable[..., None]


@pytest.fixture
def put(db: Path, otlp: Any) -> Put:
    """Stores calls to a model, each a trace of its own, an hour apart."""

    def store_calls(model: str, count: int = 1, response: str | None = None, **attributes: Any) -> None:
        spans = []
        for number in range(count):
            begin = int((BEGAN + timedelta(hours=number)).replace(tzinfo=UTC).timestamp()) * 10**9
            known = f"{model}{number}".encode()[-16:].rjust(16, b"\x01")
            given = {
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
                **({"gen_ai.response.model": response} if response else {}),
                **{name.replace("__", "."): value for name, value in attributes.items()},
            }  # fmt: skip
            spans.append({
                "trace_id": known, "span_id": known[-8:], "name": "chat", "start_time_unix_nano": begin,
                "end_time_unix_nano": begin + 10**9,
                "attributes": {name: value for name, value in given.items() if value is not None},
            })  # fmt: skip
        with store_at(db) as store:
            store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], BEGAN).tables)

    return store_calls


def found(result: Result) -> dict[str, list[dict[str, Any]]]:
    """Findings as JSON, by their kind."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(result.stdout):
        by_kind.setdefault(row["finding"], []).append(row)
    return by_kind


def configure(text: str) -> None:
    """Write the configuration of the working directory."""
    Path("spanverdict.toml").write_text(text)


def test_everything_priced(put: Put, cli: Cli) -> None:
    """With every call priced there is nothing to say and the status is 0; in an empty store too."""
    assert cli("prices", "check", "--format", "json").stdout == "[]\n"
    put("gpt-4o", 3)
    result = cli("prices", "check", "--format", "json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")


def test_what_is_unpriced_and_what_to_write(put: Put, cli: Cli) -> None:
    """Calls, tokens and first day of a model without a price; the lines, once written, price it."""
    put(TUNED, 3, "gpt-4.1-mini-2025-04-14")
    put("gpt-4o", 1)
    result = cli("prices", "check", "--format", "json")
    (row,) = found(result)["unpriced"]
    assert result.exit_code == 1
    assert (row["model"], row["calls"], row["unpriced_tokens"]) == (TUNED, 3, 3300)
    assert row["first_seen"].startswith("2026-11-02")
    assert "fine-tuned" in row["detail"]
    assert 'base = "gpt-4.1-mini-2025-04-14"' in row["write"]
    configure(row["write"])
    assert "unpriced" not in found(again := cli("prices", "check", "--format", "json"))
    assert again.exit_code == 0


def test_lines_that_only_the_user_can_complete(put: Put, cli: Cli) -> None:
    """Where no base is known the rates stand in comments: without them the entry is refused, never free."""
    put('house "model"', 2)
    (row,) = found(cli("prices", "check", "--format", "json"))["unpriced"]
    configure(row["write"])
    refused = cli("prices", "check")
    assert refused.exit_code == 2
    assert "has no input_per_mtok; give it, or base" in refused.stderr
    configure(row["write"].replace("# input_per_mtok =", "input_per_mtok = 1").replace("# output", "output").replace(
        "output_per_mtok =", "output_per_mtok = 2"))  # fmt: skip
    assert cli("prices", "check").exit_code == 0


def test_table_ends_with_the_lines(put: Put, cli: Cli) -> None:
    """For people the lines to write stand below the table, ready to be copied."""
    put(TUNED)
    result = cli("prices", "check")
    table, _, lines = result.stdout.partition("To write into the configuration")
    assert result.exit_code == 1
    assert "unpriced" in table
    assert f'[[prices]]\nmodel = "{TUNED}"' in lines


def test_calls_without_counts_are_no_matter_of_prices(put: Put, cli: Cli) -> None:
    """They are told, but no price would help, so the status stays 0."""
    put("gpt-4o", 2, gen_ai__usage__output_tokens=None)
    result = cli("prices", "check", "--format", "json")
    (row,) = found(result)["no_token_counts"]
    assert (result.exit_code, row["calls"]) == (0, 2)


def test_cost_on_the_span_that_differs(put: Put, cli: Cli) -> None:
    """More than one per cent between the spans' sum and ours is told, with the difference; less is not."""
    # gpt-4o: 1,000 in at 2.50 and 100 out at 10 are 0.0035 USD.
    put("gpt-4o", 2, gen_ai__usage__cost=0.0135)
    put("gpt-4o-mini", 2, gen_ai__usage__cost=0.000211)
    (row,) = found(cli("prices", "check", "--format", "json"))["differs_from_span"]
    assert (row["model"], row["calls"], row["difference_usd"]) == ("gpt-4o", 2, 0.02)


def test_own_prices_that_override_or_match_nothing(put: Put, cli: Cli) -> None:
    """A price that goes before the list's is shown beside it; one that matches no call is named."""
    put("gpt-4o")
    configure(
        "[[prices]]\npattern = 'gpt-4?'\ninput_per_mtok = 2\noutput_per_mtok = 8\n"
        "[[prices]]\npattern = 'gpt-40*'\nbase = 'gpt-4o'\n"
    )
    by_kind = found(cli("prices", "check", "--format", "json"))
    (over,), (nothing,) = by_kind["overrides_list"], by_kind["matches_nothing"]
    assert "(2 in, 8 out" in over["detail"]
    assert "(2.5 in, 10 out" in over["detail"]
    assert (nothing["model"], over["model"]) == ("gpt-40*", "gpt-4o")


def test_deployment_priced_by_what_answered(put: Put, cli: Cli) -> None:
    """A deployment's own name with the list price of the answering base is shown, with what to write if it is tuned."""
    put("refunds-v2", 2, "gpt-4o-mini-2024-07-18", gen_ai__provider__name="azure.ai.openai")
    result = cli("prices", "check", "--format", "json")
    (row,) = found(result)["priced_by_answer"]
    assert result.exit_code == 0
    configure(row["write"].replace("factor = 1.0", "factor = 2.0"))
    (listed,) = json.loads(cli("prices", "list", "--format", "json").stdout)
    assert (listed["source"], listed["input_per_mtok"], listed["output_per_mtok"]) == ("own", 0.3, 1.2)


def test_own_price_without_what_it_needs(put: Put, cli: Cli) -> None:
    """An own price whose base nobody knows, or whose currency had no rate yet, is named as the cause."""
    put("m1")
    put("m2")
    configure(
        "[[prices]]\nmodel = 'm1'\nbase = 'nobodys'\n"
        "[[prices]]\nmodel = 'm2'\ninput_per_mtok = 1\noutput_per_mtok = 1\ncurrency = 'EUR'\n"
        "[[exchange_rates.EUR]]\nusd = 1.1\neffective_from = 2027-01-01\n"
    )
    rows = {row["model"]: row for row in found(cli("prices", "check", "--format", "json"))["unpriced"]}
    assert "The base 'nobodys' of your price 'm1' has no price itself" in rows["m1"]["detail"]
    assert "is in EUR, which had no exchange rate yet" in rows["m2"]["detail"]
    assert rows["m1"]["write"] is None


def test_prices_of_a_time(put: Put, cli: Cli) -> None:
    """The list shows what applied then: own prices, and the package's for models in the store, with dates."""
    put("o3")
    put("nobodys")
    configure("[[prices]]\nmodel = 'm'\ninput_per_mtok = 1\noutput_per_mtok = 2\neffective_from = 2026-01-01\n")

    def listed(*options: str) -> dict[str, dict[str, Any]]:
        return {row["model"]: row for row in json.loads(cli("prices", "list", "--format", "json", *options).stdout)}

    now, then = listed(), listed("--at", "2025-06-09")
    assert (now["o3"]["input_per_mtok"], now["o3"]["since"], now["o3"]["price"]) == (2, "2025-06-10", "openai/o3")
    assert (then["o3"]["input_per_mtok"], then["o3"]["since"]) == (10, None)
    assert now["nobodys"]["source"] is None
    assert (now["m"]["since"], now["m"]["source"]) == ("2026-01-01T00:00:00", "own")
    assert "m" not in then


def test_price_of_a_model_that_is_not_in_the_store(put: Put, cli: Cli) -> None:
    """--model filters, and looks an exact name up in the list; thresholds are rows of their own."""
    put("gpt-4o")
    rows = json.loads(cli("prices", "list", "--model", "Gemini-2.5-Pro", "--format", "json").stdout)
    assert [(row["above_input_tokens"], row["input_per_mtok"]) for row in rows] == [(None, 1.25), (200_000, 2.5)]


def test_dry_run_shows_what_would_change(put: Put, cli: Cli) -> None:
    """Before anything is derived every known cost is new; of other models nothing is shown."""
    put("gpt-4o", 2)
    put("nobodys", 2)
    rows = json.loads(cli("prices", "reprice", "--dry-run", "--format", "json").stdout)
    assert [(row["request_model"], row["calls"], row["former_cost_usd"], row["cost_usd"]) for row in rows] == [
        ("gpt-4o", 2, 0, 0.007)
    ]
    assert json.loads(cli("prices", "reprice", "--dry-run", "--model", "nobodys", "--format", "json").stdout) == []


def test_history_is_priced_anew(put: Put, cli: Cli, db: Path) -> None:
    """After a price was configured the stored costs follow, only those of the model and time that were asked for."""
    put(TUNED, 3)
    put("house", 3)
    derived = cli("derive")
    assert derived.exit_code == 0, derived.stderr

    def costs() -> dict[str, list[float | None]]:
        with store_at(db) as store:
            rows = store.read("SELECT request_model, cost_usd FROM calls ORDER BY start_time").to_pylist()
        return {
            model: [row["cost_usd"] and float(row["cost_usd"]) for row in rows if row["request_model"] == model]
            for model in (TUNED, "house")
        }

    assert costs() == {TUNED: [None] * 3, "house": [None] * 3}
    configure("[[prices]]\npattern = '*'\ninput_per_mtok = 1\noutput_per_mtok = 0\n")
    since = (BEGAN + timedelta(hours=1)).isoformat()
    dry = json.loads(
        cli("prices", "reprice", "--dry-run", "--model", TUNED, "--since", since, "--format", "json").stdout
    )
    assert [(row["calls"], row["former_cost_usd"], row["cost_usd"]) for row in dry] == [(2, 0, 0.002)]
    assert cli("prices", "reprice", "--model", TUNED, "--since", since).exit_code == 0
    assert costs() == {TUNED: [None, 0.001, 0.001], "house": [None] * 3}
    assert cli("prices", "reprice").exit_code == 0
    assert costs() == {TUNED: [0.001] * 3, "house": [0.001] * 3}


def test_large_stores_are_read_in_parts(put: Put, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few calls are priced at once, each is counted once."""
    put(TUNED, 9)
    for size in (1, 4, 100):
        monkeypatch.setattr("spanverdict.prices_command.CALLS_AT_ONCE", size)
        (row,) = found(cli("prices", "check", "--format", "json"))["unpriced"]
        assert (row["calls"], row["unpriced_tokens"]) == (9, 9900)
    (row,) = found(cli("prices", "check", "--since", "2026-11-02T06:30Z", "--format", "json"))["unpriced"]
    assert row["calls"] == 2
