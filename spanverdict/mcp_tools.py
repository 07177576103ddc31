"""What an agent may ask of the store: rows, saved queries, promotions, reports, what regressed, traces.

Each tool is a method; its docstring is what the agent reads of it. All only read.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import Field

from analytics.errors import InputError
from analytics.promotions import find_promotion
from analytics.report import render
from analytics.report.changes import render_changes, summary
from analytics.report.formatting import count
from analytics.report_changes import changes
from analytics.stored_reports import StoredReport, find_report, list_reports, previous_report
from analytics.trace_reading import read_traces
from spanverdict.derivation_gaps import what_is_missing
from spanverdict.mcp_findings import what_was_found
from spanverdict.mcp_rows import MOST_ROWS, first_rows, written
from spanverdict.mcp_text import json_text, marked, part_of
from spanverdict.mcp_trace import BOUNDS, trace_text
from sql import statements
from sql.access import Access, open_store
from sql.address import StoreAddress
from sql.errors import QueryError, StoreError

MOST_PROMOTIONS = 10
"""Promotions of which it is told at once what regressed."""

_TRACE_ID = re.compile(r"[0-9a-f]{32}")

Form = Literal["json", "markdown"]
_Parameters = Annotated[
    dict[str, str | int | float | bool | None] | None,
    Field(
        description="Values of named parameters such as $since in the SQL; cast them there, as in $since::TIMESTAMP."
    ),
]
_Rows = Annotated[int, Field(ge=1, le=MOST_ROWS, description="At most so many rows.")]
_RowForm = Annotated[Form, Field(description="How rows are written.")]
_Part = Annotated[int, Field(ge=1, description="Which part of a long answer.")]
_Promotion = Annotated[str | None, Field(description="A promotion's name, from list_promotions.")]
_Report = Annotated[str | None, Field(description="A report's id, or a beginning of it, from list_reports.")]


class Tools:
    """The tools, over one store.

    Args:
        db: the store; each call reaches it anew, by its server if one runs, else by opening the file.
        query_seconds: how long one query may take.
    """

    def __init__(self, db: StoreAddress, query_seconds: float) -> None:
        self._db = db
        self._query_seconds = query_seconds
        # Without a server each call opens the file, which one process does once at a time.
        self._one_call = threading.Lock()

    @contextmanager
    def _store(self) -> Iterator[Access]:
        with self._one_call, open_store(self._db, query_seconds=self._query_seconds) as store:
            began = time.monotonic()
            try:
                yield store
            except StoreError as error:
                if time.monotonic() - began < self._query_seconds:
                    raise
                raise QueryError(
                    f"This took longer than {self._query_seconds:g} s and was stopped: bound start_time, ask for less,"
                    " or start `spanverdict mcp` with more --query-seconds."
                ) from error

    def query(
        self,
        sql: Annotated[str, Field(description="One SELECT in DuckDB's SQL. A bound on start_time makes it fast.")],
        parameters: _Parameters = None,
        rows: _Rows = 100,
        form: _RowForm = "json",
    ) -> str:
        """Ask the store in SQL: one read-only SELECT (DuckDB) on traces, calls, costs, outcomes, promotions, reports.

        Begin with list_tables and describe. llm_calls has a row for each model call, trace_totals one for each trace,
        spans everything. Times are UTC, ids lowercase hex, money USD; NULL is unknown, never zero.
        """
        with self._store() as store:
            text, said = written(first_rows(store, sql, parameters, rows), form)
            return marked(text, " ".join((said, *what_is_missing(store, sql))))

    def list_tables(self) -> str:
        """List the tables and views that can be asked, with what a row of each view is."""
        with self._store() as store:
            rows = store.read(statements.read("relations")).to_pylist()
        listed = [
            f"{row['name']} ({row['kind']}){': ' + _meaning(row['name']) if row['name'] in statements.VIEWS else ''}"
            for row in rows
        ]
        return "Views are made for people; begin there. Columns: describe.\n" + "\n".join(listed)

    def describe(self, table: Annotated[str, Field(description="A table or view, from list_tables.")]) -> str:
        """Say which columns a table or view has, their types, and what a row of a view is."""
        with self._store() as store:
            columns = store.read(statements.read("relation_columns"), {"relation": table}).to_pylist()
        if not columns:
            raise InputError(f"There is no table or view {table!r}; list_tables names them.")
        lines = [f"{column['name']} {column['type']}" for column in columns]
        meaning = f" {_meaning(table)}" if table in statements.VIEWS else ""
        return f"{table}, {len(lines)} columns.{meaning}\n" + "\n".join(lines)

    def list_saved_queries(self) -> str:
        """List the saved queries, each an answer to a common question, with what it answers."""
        return "\n".join(f"{name}: {_comment(statements.query(name))}" for name in statements.query_names())

    def run_saved_query(
        self,
        name: Annotated[str, Field(description="A saved query, from list_saved_queries.")],
        parameters: _Parameters = None,
        rows: _Rows = 100,
        form: _RowForm = "json",
    ) -> str:
        """Run a saved query."""
        if name not in statements.query_names():
            raise InputError(f"There is no saved query {name!r}; list_saved_queries names them.")
        return self.query(statements.query(name), parameters, rows, form)

    def list_promotions(self) -> str:
        """List the promotions: which candidate model is compared with which base model, how, since when, by cohort."""
        with self._store() as store:
            text, said = written(first_rows(store, statements.read("promotions"), None, MOST_ROWS), "json")
        return marked(text, said)

    def list_reports(self, promotion: _Promotion = None, rows: _Rows = 20) -> str:
        """List the reports that were made, of one promotion or all, the newest first, with the headline of each."""
        with self._store() as store:
            if promotion is not None:
                find_promotion(store, promotion)
            query = {"promotion": promotion, "limit": None}
            text, said = written(first_rows(store, statements.read("stored_reports"), query, rows), "json")
        return marked(text, said)

    def latest_report(
        self,
        promotion: _Promotion = None,
        report_id: _Report = None,
        form: Annotated[Form, Field(description="markdown reads best; json has everything.")] = "markdown",
        part: _Part = 1,
    ) -> str:
        """Show a report: the newest of a promotion, the newest of all, or the one with an id.

        It has a verdict for each cohort and metric, with effects and intervals, checks, and where a regression begins.
        """
        with self._store() as store:
            found = _report(store, promotion, report_id)
        text = found.body if form == "json" else render(found.report, "md")
        # Stored as it was made; written anew so that no character of it acts.
        text = json_text(json.loads(text), indent=1) if form == "json" else text
        return _in_parts(text, part, f"Report {found.report_id}.")

    def compare_reports(
        self,
        report_id: Annotated[str, Field(description="The later report's id, or a beginning of it.")],
        other: Annotated[str | None, Field(description="The earlier one; by default the one before it.")] = None,
        form: _RowForm = "markdown",
        part: _Part = 1,
    ) -> str:
        """Say what changed from one report to another: new, standing and resolved regressions, verdicts, decisions."""
        with self._store() as store:
            after = find_report(store, report_id)
            before = previous_report(store, after.report) if other is None else find_report(store, other)
        found = changes(None if before is None else before.report, after.report)
        identities = (None if before is None else before.report_id, after.report_id)
        if form == "json":
            text = json_text(json.loads(render_changes(found, "json", identities)), indent=1)
        else:
            text = render_changes(found, "md", identities)
        return _in_parts(text, part, summary(found))

    def what_regressed(self, promotion: _Promotion = None, report_id: _Report = None, part: _Part = 1) -> str:
        """Say what regressed by the newest report of a promotion (of each, without one): start here.

        Each regression has its cohort, metric, effect, where in the trace it begins, and ids of traces that show it:
        hand those to get_trace. No regression is not yet "safe": look at the verdicts and decisions beside it.
        """
        with self._store() as store:
            if promotion is not None or report_id is not None:
                found = [_report(store, promotion, report_id)]
                silent: list[str] = []
            else:
                rows = store.read(statements.read("newest_reports"), {"most": MOST_PROMOTIONS}).to_pylist()
                found = [find_report(store, row["report_id"]) for row in rows if row["report_id"] is not None]
                silent = [row["name"] for row in rows if row["report_id"] is None]
        if not found and not silent:
            raise InputError("No promotion is registered; `spanverdict promotion add` registers one.")
        reports = [what_was_found(each.report_id, each.report) for each in found]
        answer = json_text({"reports": reports, "promotions_without_a_report": silent}, indent=1)
        told = count(sum(len(each["regressions"]) for each in reports), "regression")
        return _in_parts(answer, part, f"{told}, by {count(len(reports), 'report')}.")

    def get_trace(
        self,
        trace_id: Annotated[str, Field(description="32 hex digits, such as what_regressed names.")],
        part: _Part = 1,
    ) -> str:
        """Show one trace: its spans as a tree, what models and tools were asked and gave, scores and outcomes."""
        wanted = trace_id.strip().lower()
        if not _TRACE_ID.fullmatch(wanted):
            raise InputError(f"{trace_id!r} is not a trace id: it has 32 hex digits.")
        with self._store() as store:
            views = read_traces(store, [wanted], bounds=BOUNDS)
        if wanted not in views:
            raise InputError(f"There is no trace {wanted} in the store.")
        return _in_parts(trace_text(views[wanted]), part, f"Trace {wanted}.")


def _report(store: Access, promotion: str | None, report_id: str | None) -> StoredReport:
    if report_id is not None:
        found = find_report(store, report_id)
        if promotion is not None and found.report.promotion.name != promotion:
            raise InputError(f"Report {found.report_id} is of {found.report.promotion.name!r}, not of {promotion!r}.")
        return found
    if promotion is not None:
        find_promotion(store, promotion)
    newest = list_reports(store, promotion=promotion, limit=1).to_pylist()
    if not newest:
        of = f" of {promotion}" if promotion is not None else ""
        raise InputError(f"No report{of} has been made; `spanverdict report {promotion or 'PROMOTION'}` makes one.")
    return find_report(store, newest[0]["report_id"])


def _in_parts(text: str, part: int, said: str) -> str:
    try:
        shown, which = part_of(text, part)
    except ValueError as error:
        raise InputError(str(error)) from error
    return marked(shown, f"{said} {which}")


def _meaning(view: str) -> str:
    return _comment(statements.view(view))


def _comment(text: str) -> str:
    """The comment that a file of SQL begins with, on one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    return " ".join(lines)
