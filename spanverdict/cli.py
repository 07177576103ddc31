"""The command line: what commands there are. Each is in a module of its own, which is imported when it is called."""

from __future__ import annotations

import click

from spanverdict.lazy_group import LazyGroup

_SUMMARIES = {
    "alerts": "Alerts: what changed and who was told; send what waits, test a channel.",
    "archive": "Move closed days into Parquet files beside the store, which the same views go on reading.",
    "backup": "Copy the store and its archive into a new folder, also while the server runs and takes spans.",
    "calibrate": "Judge placebo promotions on your own traffic: the real rate of false alarms, and which regressions "
    "are found.",
    "compact": "Make a store smaller and faster to read.",
    "dataset": "Held-out data sets: items that base and candidate are both run on.",
    "demo": "A promotion incident, end to end: collector, sample traces over OTLP, verdicts, reports.",
    "derive": "Bring calls, attempt chains, costs and the traces of outcomes up to date, and what an older version "
    "normalised.",
    "doctor": "Say what is misconfigured or missing, and what to do. Exits with 1 if something fails, else 0.",
    "evaluate": "Run evaluators over stored traces: those named, else the built-in ones and all that are configured.",
    "export": "Write the store as Parquet, which `import` takes back, or its spans and log records as OTLP JSON Lines.",
    "feedback": "Outcomes from users and business systems.",
    "guard": "Promotions that are watched between reports, and rolled back as soon as a regression is certain.",
    "import": "Import traces and log records from files of OTLP JSON, JSON Lines or protobuf, or from folders of them.",
    "mcp": "Serve reports, traces and read-only SQL to a coding agent, over the Model Context Protocol (stdio).",
    "migrate": "Copy a whole store into an empty one, such as a file into a shared store or back, and compare the two.",
    "mirror": "Mirror results: requests that a gateway sent to a second model as well.",
    "pg": "Answer BI tools in PostgreSQL's protocol: read-only, by the server of the store; until SIGTERM or Ctrl-C.",
    "prices": "What calls cost: prices that apply, models without one, history priced anew.",
    "promotion": "Candidate releases under comparison.",
    "prune": "Delete what is older than [retention] allows, or more than fits; beside a server, this runs once a day.",
    "report": "Compare base and candidate by cohort. Exits with 1 if a metric regressed, 3 without any data, else 0.",
    "reports": "Reports that were made: listed, shown again, compared; and the JSON Schema of them.",
    "restore": "Make a store of a backup, where there is none yet; every file is checked first.",
    "routes": "Turn a report's decisions into routes: which cohort goes to which model, as a file that a gateway "
    "loads.",
    "scheduler": "Do what is done for a shared store from time to time, without receiving anything; until SIGTERM or "
    "Ctrl-C.",
    "serve": "Receive OTLP, store it durably, answer SQL; until SIGTERM or Ctrl-C.",
    "simulate": "Write the traces, scores and feedback of a simulated promotion as OTLP files, with the truth beside "
    "them.",
    "sql": "Ask the store a question in SQL (one SELECT), also while the collector writes.",
    "token": "Tokens of senders.",
}
"""The commands. What stands here is the first paragraph of their help, told without importing them."""


@click.group(
    cls=LazyGroup,
    package="spanverdict",
    summaries=_SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="spanverdict")
def main() -> None:
    """Did the fine-tuned model regress, for which cohort, and how sure are we?

    Point your applications' OpenTelemetry exporter at `spanverdict serve`, name a promotion, read the report.
    """
