"""Data sets and mirrored pairs on the command line: from files to a report."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


Cli = Callable[..., Result]
MODELS = ("--base", "m0", "--candidate", "m1")


@pytest.fixture
def db(workdir: Path) -> Path:
    """An empty store."""
    path = workdir / "spanverdict.duckdb"
    store_at(path).close()
    return path


def items(cli: Cli, name: str = "golden") -> list[dict[str, object]]:
    """The items of a data set, as `dataset show` has them."""
    shown = cli("dataset", "show", name, "--format", "json")
    assert shown.exit_code == 0, shown.output
    found: list[dict[str, object]] = json.loads(shown.stdout)
    return found


@pytest.mark.usefixtures("db")
def test_items_are_the_same_from_every_format(cli: Cli, workdir: Path) -> None:
    """CSV, JSON Lines and Parquet give the same items; importing again stores nothing, a changed item replaces."""
    rows = [
        {"id": "a", "input": 'hello, "you"', "cohort": "x", "expected": {"tool": "pay"}, "topic": "t"},
        {"id": "b", "input": "two\nlines", "cohort": None, "expected": None, "topic": "u"},
    ]  # fmt: skip
    (workdir / "i.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (workdir / "i.csv").write_text(
        'id,input,cohort,expected,topic\r\na,"hello, ""you""",x,"{""tool"": ""pay""}",t\r\nb,"two\nlines",,,u\r\n'
    )
    pq.write_table(pa.Table.from_pylist(rows), workdir / "i.parquet")
    said = cli("dataset", "import", "golden", "i.jsonl")
    assert "Stored 2 items of golden, new or changed; 0 were there already." in said.stderr
    first = items(cli)
    assert [row["item_id"] for row in first] == ["a", "b"]
    assert (first[0]["expected"], first[1]["expected"]) == ('{"tool": "pay"}', None)
    (workdir / "i.csv.gz").write_bytes(gzip.compress((workdir / "i.csv").read_bytes()))
    (workdir / "i.jsonl.zst").write_bytes(pa.compress((workdir / "i.jsonl").read_bytes(), "zstd", asbytes=True))
    for name in ("i.csv", "i.parquet", "i.jsonl", "i.csv.gz", "i.jsonl.zst"):
        assert "Stored 0 items" in cli("dataset", "import", "golden", name).stderr
    assert items(cli) == first
    rows[1]["cohort"] = "y"
    (workdir / "i.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert "Stored 1 items" in cli("dataset", "import", "golden", "i.jsonl").stderr
    assert items(cli)[1]["cohort"] == "y"
    assert "golden" in cli("dataset", "list").stdout


@pytest.mark.usefixtures("db")
def test_a_number_is_not_its_text(cli: Cli, workdir: Path) -> None:
    """Inputs keep their types, other columns too; a changed type is a changed item."""
    said: list[tuple[str, object, str]] = [("text", "5", '"5"'), ("number", 5, "5"), ("truth", True, "true")]
    for name, value, stored in said:
        (workdir / "i.jsonl").write_text(json.dumps({"id": "a", "input": value, "expected": value, "other": value}))
        pq.write_table(pa.table({"id": ["a"], "input": [value], "expected": [value], "other": [value]}), "i.parquet")
        assert "Stored 1 items" in cli("dataset", "import", "golden", "i.jsonl").stderr, name
        assert "Stored 0 items" in cli("dataset", "import", "golden", "i.parquet").stderr, name
        (item,) = items(cli)
        assert (item["input"], item["expected"], item["attributes"]) == (stored, stored, f'{{"other": {stored}}}')
    (workdir / "i.csv").write_text("id,input\na,5\n")
    cli("dataset", "import", "golden", "i.csv")
    assert items(cli)[0]["input"] == '"5"'


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("i.csv", b"id,question\n1,2\n", "i.csv, row 1: the column 'input' is missing; found id, question"),
        ("i.csv", b"id,input\n1,2,3\n", "i.csv, row 1: it has 3 fields, the header 2"),
        ("i.csv", b'id,input\n1,"a\n', "i.csv, row 1: a quote is left open to the end of the file. Nothing"),
        ("i.csv", b"id,input,id\n", "i.csv, line 1: two columns have the name 'id'"),
        ("i.csv", b"id,input\n,b\n", "i.csv, row 1: the id is empty"),
        ("i.csv", b"id,input\n1,\n", "i.csv, row 1: the input of item '1' is empty"),
        ("i.csv", b"id,input\n1,\xff\n", "i.csv, line 2: it is not UTF-8 text"),
        ("i.csv", b"id,input\n", "i.csv has no items"),
        ("i.jsonl", b'{"id": 1, "input": "a"}\n{"id": "1", "input": "b"}\n', "row 2: the id '1' is that of row 1"),
        ("i.jsonl", b'{"id": 1, "input": NaN}\n', "i.jsonl, line 1: it is not JSON: NaN is not a value. Nothing"),
        (
            "i.jsonl",
            b'{"id": 1, "input": "\\ud800"}\n',
            "i.jsonl, line 1: 'input' holds half of a surrogate pair. Nothing",
        ),
        ("i.jsonl", b'{"input": ' + b"[" * 33 + b"]" * 33 + b"}", "line 1: 'input' is nested deeper than 32 levels"),
        ("i.jsonl", b'{"id": {}, "input": 1}\n', "row 1: the id is {}, not a text"),
        ("i.jsonl", b"[]\n", "line 1: it is not a JSON object"),
        ("i.jsonl", b'{"id": 1, "input": 1e999}', "line 1: 'input' holds a number that is too large. Nothing"),
        ("i.csv.gz", b"id,input", "i.csv.gz cannot be read: it is not whole, or not what its name says. Nothing"),
        ("i.parquet", b"PAR1", "i.parquet cannot be read"),
        ("i.txt", b"", "name a .csv, .jsonl or .parquet file"),
    ],
)
def test_a_bad_file_gets_one_sentence(cli: Cli, workdir: Path, name: str, content: bytes, sentence: str) -> None:
    """File and row are named, nothing is imported, and the status is 2."""
    (workdir / name).write_bytes(content)
    result = cli("dataset", "import", "golden", name)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert "none is imported yet" in cli("dataset", "show", "golden").stderr


@pytest.mark.usefixtures("db")
def test_a_line_without_end_is_refused(cli: Cli, workdir: Path) -> None:
    """A line of 80 MiB, quoted over lines or not, is named and not taken into memory."""
    for name, start, filling in (("i.jsonl", b"", b"a" * 1024), ("i.csv", b'id,input\n1,"', b"a" * 1023 + b"\n")):
        with (workdir / name).open("wb") as file:
            file.write(start)
            for _ in range(80):
                file.write(filling * 1024)
        result = cli("dataset", "import", "golden", name)
        assert result.exit_code == 2
        assert "64 MiB" in result.stderr


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--design", "held_out"), "--dataset is missing"),
        (("--design", "held_out", "--dataset", "nope"), "There is no data set 'nope'; none is imported yet"),
        (("--design", "held_out", "--dataset", "d", "--candidate-share", "0.5"), "--candidate-share does not apply"),
        (("--design", "mirrored", "--dataset", "d"), "--dataset belongs to --design held_out"),
        (("--design", "mirrored", "--candidate-share", "0.5"), "--candidate-share does not apply"),
        (("--at", "2026-11-02", "--cohort-by", "c", "--dataset", "d"), "--dataset belongs to --design held_out"),
        (("--cohort-by", "c"), "--at is missing"),
        (("--at", "2026-11-02"), "--cohort-by is missing"),
        (("--at", "2026-11-02", "--cohort-by", " "), "--cohort-by is empty"),
    ],
)
def test_what_does_not_go_together_is_said(cli: Cli, options: tuple[str, ...], sentence: str) -> None:
    """Each combination of options without sense gets a sentence of its own."""
    result = cli("promotion", "add", "p", *MODELS, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.usefixtures("db")
def test_a_held_out_promotion_from_end_to_end(cli: Cli, workdir: Path) -> None:
    """Import items, register, import traces as OTLP, report: the items are compared as pairs."""
    (workdir / "i.csv").write_text("id,input,cohort\n" + "".join(f"i{n},question {n},refunds\n" for n in range(60)))
    spans = [
        {
            "traceId": f"{arm:016x}{n + 1:016x}", "spanId": f"{n + 1:016x}", "name": "chat",
            "startTimeUnixNano": str(1_793_577_600_000_000_000 + n * 10**9),
            "endTimeUnixNano": str(1_793_577_600_500_000_000 + n * 10**9 + n * 10**6),
            "status": {"code": 2 if arm and n < 20 else 1},
            "attributes": [
                {"key": key, "value": {"stringValue": value}}
                for key, value in (("gen_ai.operation.name", "chat"), ("gen_ai.request.model", f"m{arm}"),
                                   ("langfuse.experiment.item.id", f"i{n}"))
            ],
        }
        for arm in (0, 1) for n in range(60 - 2 * arm)
    ]  # fmt: skip
    (workdir / "t.json").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    assert cli("dataset", "import", "golden", "i.csv").exit_code == 0
    added = cli("promotion", "add", "p", *MODELS, "--design", "held_out", "--dataset", "golden")
    assert added.stderr == "Promotion p: m1 beside m0 on the data set golden.\n"
    assert cli("import", "t.json").exit_code == 0
    assert json.loads(cli("promotion", "show", "p").stdout)[0]["dataset"] == "golden"
    result = cli("report", "p", "--format", "json")
    assert result.exit_code == 1, result.stderr
    report = json.loads(result.stdout)
    (cohort,) = report["cohorts"]
    (errors,) = (each for each in cohort["metrics"] if each["metric"] == "error_rate")
    assert (errors["base"]["n"], errors["verdict"]) == (58, "REGRESSED")
    (check,) = (each for each in report["checks"] if each["check"] == "unpaired_items")
    assert "58 of the 60 items of golden were run by both models and are compared; 2 only by m0" in check["detail"]


@pytest.mark.usefixtures("db")
def test_mirror_results_from_end_to_end(cli: Cli, workdir: Path) -> None:
    """Import a page of the gateway's results, again, and report; a policy on completions keeps the answers out."""
    results = [
        {
            "request_id": f"r{n}", "experiment_id": "e", "source_model": "m0", "shadow_model": "m1",
            "source_response": "a", "shadow_response": "b", "source_latency_ms": 100 + n, "shadow_latency_ms": 90 + n,
            "source_tokens": 10 + n % 3, "shadow_tokens": 12 + n % 5, "source_status_code": 200,
            "shadow_status_code": 0 if n < 20 else 200, "shadow_error": "timeout" if n < 20 else "",
            "created_at": f"2026-11-02T00:{n % 60:02}:00Z",
        }
        for n in range(80)
    ]  # fmt: skip
    (workdir / "m.json").write_text(json.dumps({"count": 80, "results": results}))
    (workdir / "spanverdict.toml").write_text('[content]\ncompletions = "drop"\n')
    said = cli("mirror", "import", "m.json").stderr
    assert "Stored 80 pairs, new or changed; 0 were there already." in said
    assert "80 stored pairs are of requests whose trace is not stored" in said
    assert "Stored 0 pairs" in cli("mirror", "import", "m.json").stderr
    kept = cli("sql", "SELECT count(*) AS n FROM mirror_pairs WHERE attributes::VARCHAR LIKE '%response%'")
    assert kept.stdout.split() == ["n", "0"]
    assert cli("promotion", "add", "p", *MODELS, "--design", "mirrored").stderr.endswith("on mirrored requests.\n")
    result = cli("report", "p")
    assert result.exit_code == 1
    assert "on mirrored requests" in result.stdout
    assert "not what users would wait" in " ".join(result.stdout.split())


@pytest.mark.usefixtures("db")
def test_a_missing_file_of_results(cli: Cli) -> None:
    """A file that is not there is said in a sentence."""
    result = cli("mirror", "import", "nope.json")
    assert (result.exit_code, result.stderr) == (2, "Error: nope.json cannot be read: there is no such file.\n")
