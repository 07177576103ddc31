"""The published JSON Schema says what a report in JSON has, all of it and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from analytics.report import as_json
from analytics.report.evidence import Attempts, DayValues, Distribution, Evidence, OverTime, Usage
from analytics.report.model import Composition, Report, SharedVersions, WatchItem
from analytics.report.schema import text
from analytics.report.values import ArmValue

SCHEMA = json.loads(text())
GOLDEN = Path(__file__).parent / "golden"


def faults(document: Any) -> list[str]:
    """What the schema has to say against a document."""
    validator = Draft202012Validator(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.fixture(name="full")
def full_document(report: Report) -> dict[str, Any]:
    """A report that says everything that one can say."""
    value = ArmValue(3, 0.5)
    cohort = report.cohorts[0]
    mixed = replace(
        cohort.metrics[0], composition=Composition(0.1, 0.2, -0.1, reversed=True), alert_raised_on=date(2026, 11, 9)
    )
    evidence = Evidence(
        (OverTime("eu", "error_rate", "rate", (DayValues(date(2026, 11, 3), value, ArmValue(0, None)),)),),
        (Distribution("eu", "latency", "ms", (0.5, 0.9), (1.0, None), (2.0, 3.0), {"base": 3, "candidate": 4}),),
        (Usage("eu", "base", 3, 0.1, 1, 100.0, None, 20.0, None, 1.5, {"cost": 2}),),
        (Attempts("eu", "candidate", 3, 1.3, 1, 1, 0, 1, 0, None),),
    )
    said = replace(
        report,
        promotion=replace(report.promotion, share_changes=((report.as_of, 0.25),), stratify_by=("app.difficulty",)),
        cohorts=(replace(cohort, metrics=(mixed, *cohort.metrics[1:]), pooled=("a", "b")), *report.cohorts[1:]),
        watch_list=(WatchItem("eu", "error_rate", 12.5),),
        shared=SharedVersions(report.cohorts, ("prompt_version",), {"eu": {"base": 0.5, "candidate": 0.25}}),
        evidence=evidence,
    )
    return as_json.to_dict(said)


def inside(schema: Any) -> Any:
    """A schema without its reference, and without the null that it also allows."""
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    return SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def keys(document: Any, schema: Any, path: str = "$") -> Iterator[tuple[str, set[str], set[str]]]:
    """For every object with named keys: where it stands, the keys that it has, and those that are described."""
    schema = inside(schema)
    if isinstance(document, list):
        for each in document:
            yield from keys(each, schema["items"], f"{path}[]")
    elif isinstance(document, dict):
        known = schema["properties"]
        if known:
            yield path, set(document), set(known)
        for key, value in document.items():
            yield from keys(value, known.get(key, schema.get("additionalProperties", {})), f"{path}.{key}")


def test_the_schema_is_one() -> None:
    """It is a valid schema of its draft."""
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described_and_every_description_has_its_key(full: dict[str, Any]) -> None:
    """A document that says everything has exactly the keys that the schema names, at every level."""
    assert faults(full) == []
    seen = list(keys(full, SCHEMA))
    assert [(path, has ^ described) for path, has, described in seen if has != described] == []
    reached = {path for path, _, _ in seen}
    assert {"$.shared_versions.cohorts[].metrics[].attribution.steps[]", "$.evidence.attempts[]"} <= reached
    named = {key for _, _, described in seen for key in described}

    def properties(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else ()
            for value in schema.values():
                yield from properties(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from properties(value)

    assert set(properties(SCHEMA)) == named


def test_every_key_explains_itself() -> None:
    """Whatever is named in the schema says what it is, itself or where it is defined."""
    silent = []

    def look(schema: Any, path: str) -> None:
        for key, value in schema.get("properties", {}).items():
            if "description" not in value and "description" not in inside(value):
                silent.append(f"{path}.{key}")
            look(value, f"{path}.{key}")
        for part in ("items", "additionalProperties"):
            if isinstance(schema.get(part), dict):
                look(schema[part], path)

    look(SCHEMA, "$")
    for name, definition in SCHEMA["$defs"].items():
        look(definition, name)
    assert silent == []


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.name)
def test_stored_documents_are_valid(path: Path) -> None:
    """Those of this release, and those that earlier ones wrote."""
    assert faults(json.loads(path.read_text("utf-8"))) == []


def test_an_empty_report_is_valid(build: Any) -> None:
    """Also a report of no data is one."""
    assert faults(as_json.to_dict(build.report())) == []


def _set(document: Any, path: tuple[str | int, ...], value: object) -> None:
    for part in path[:-1]:
        document = document[part]
    document[path[-1]] = value


METRIC = ("cohorts", 0, "metrics", 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("overall",), "FINE"),
        (("alpha",), None),
        (("as_of",), "2026-11-16T00:00:00"),
        (("as_of",), "yesterday"),
        (("fingerprint",), "not a hash"),
        (("checks", 0, "status"), "failed"),
        (("cohorts", 0, "decision"), "rollback"),
        (("cohorts", 0, "traces", "base"), -1),
        ((*METRIC, "verdict"), None),
        ((*METRIC, "unit"), "seconds"),
        ((*METRIC, "interval"), [0.1]),
        ((*METRIC, "interval"), [0.1, 0.2, 0.3]),
        ((*METRIC, "effect"), "0.1"),
        ((*METRIC, "base", "n"), 1.5),
        ((*METRIC, "p_value"), 1.5),
        (("promotion", "design"), "canary"),
        (("evidence", "usage", 0, "arm"), "control"),
        (("metric_order",), ["a", "a"]),
    ],
)
def test_what_no_report_says_is_refused(full: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """A wrong type, an unknown word or an impossible number is found."""
    _set(full, path, value)
    assert faults(full)


def test_what_is_required_cannot_be_missing(full: dict[str, Any]) -> None:
    """Each required key of the document and of a metric."""
    for key in SCHEMA["required"]:
        assert faults({name: value for name, value in full.items() if name != key}), key
    metric: Callable[[dict[str, Any]], Any] = lambda document: document["cohorts"][0]["metrics"][0]  # noqa: E731
    for key in SCHEMA["$defs"]["metric"]["required"]:
        document = json.loads(json.dumps(full))
        metric(document).pop(key)
        assert faults(document), key


def test_keys_may_be_added(full: dict[str, Any]) -> None:
    """A document of a later release of the same version is valid here, too."""
    full["news"] = {"of": "tomorrow"}
    full["cohorts"][0]["metrics"][0]["news"] = 1
    assert faults(full) == []


def described(schema: Any, path: str = "") -> Iterator[str]:
    """The rows of the documentation for an object: every key that is not defined elsewhere, and what it is."""
    for key, value in schema.get("properties", {}).items():
        kind = inside(value)
        yield f"| `{path}{key}` | {value.get('description') or kind['description']} |"
        if kind is value:
            yield from described(value, f"{path}{key}.")
            if "$ref" not in value.get("items", {"$ref": ""}):
                yield from described(value["items"], f"{path}{key}[].")


def test_every_key_is_documented() -> None:
    """docs/reports.md has exactly the rows that the schema gives."""
    page = (Path(__file__).parents[3] / "docs" / "reports.md").read_text("utf-8")
    told = re.findall(r"^\| `[a-z_.\[\]]+` \| .* \|$", page.partition("## The JSON document")[2], re.MULTILINE)
    wanted = [*described(SCHEMA), *(row for each in SCHEMA["$defs"].values() for row in described(each))]
    assert sorted(told) == sorted(wanted)
