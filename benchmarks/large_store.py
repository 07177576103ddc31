"""A store of many spans for benchmarks, made inside DuckDB in a minute or so instead of sent over the network.

A trace is four spans: the request, which names its cohort and user, a search, the model call, with a message of some
hundred characters, and a tool. Each cohort has its share of the traffic and its own latency; half of the users meet
the candidate, which is a tenth slower in the cohort ``cohort-03``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from sql.access import make_store
from sql.address import StoreAddress
from sql.lake_connection import connect, cursor_on

BASE, CANDIDATE = "large-base", "large-candidate"
COHORTS = 20
SPANS_PER_TRACE = 4
BEGIN = datetime(2026, 10, 1)  # noqa: DTZ001 (the store keeps UTC without a zone)
PRE_DAYS = 2

_TRACES = """
CREATE OR REPLACE TEMP TABLE traces AS
SELECT
    md5(number::VARCHAR) AS trace_id,
    'user-' || (hash(number, 1) % $users::UBIGINT)::VARCHAR AS user_id,
    'cohort-' || lpad(least(hash(number, 2) % 20::UBIGINT, hash(number, 3) % 20::UBIGINT)::VARCHAR, 2, '0') AS cohort,
    (hash(hash(number, 1) % $users::UBIGINT, 4) % 2::UBIGINT) = 1 AS in_arm,
    $day::TIMESTAMP + to_microseconds((hash(number, 5) % 86400000000::UBIGINT)::BIGINT) AS begun,
    exp(6.5 + 0.5 * ((hash(number, 6) % 1000::UBIGINT)::DOUBLE + (hash(number, 7) % 1000::UBIGINT)::DOUBLE
        + (hash(number, 8) % 1000::UBIGINT)::DOUBLE - 1500) / 500) AS drawn_ms,
    hash(number, 9) AS luck
FROM range($first::BIGINT, $last::BIGINT) AS numbers(number)
"""

_SPANS = """
INSERT INTO live_spans BY NAME
WITH models AS (
    SELECT
        *,
        CASE WHEN in_arm AND $promoted::BOOLEAN THEN 'large-candidate' ELSE 'large-base' END AS model,
        drawn_ms * CASE WHEN in_arm AND $promoted::BOOLEAN AND cohort = 'cohort-03' THEN 1.1 ELSE 1 END AS took_ms
    FROM traces
),
parts AS (
    SELECT * FROM (VALUES
        (1, NULL, 'answer', 'SERVER', NULL, NULL, 0.0, 1.0),
        (2, 1, 'retrieval', 'CLIENT', 'RETRIEVER', 'retrieval', 0.02, 0.15),
        (3, 1, 'chat', 'CLIENT', 'LLM', 'chat', 0.2, 0.9),
        (4, 1, 'execute_tool lookup', 'INTERNAL', 'TOOL', 'execute_tool', 0.91, 0.97)
    ) AS parts(part, parent, name, kind, gen_ai_span_kind, operation, from_share, to_share)
)
SELECT
    trace_id,
    left(trace_id, 15) || part AS span_id,
    left(trace_id, 15) || parent AS parent_span_id,
    name, kind,
    (begun + to_microseconds((took_ms * from_share * 1000)::BIGINT))::TIMESTAMP_NS AS start_time,
    (begun + to_microseconds((took_ms * to_share * 1000)::BIGINT))::TIMESTAMP_NS AS end_time,
    ((took_ms * to_share * 1000)::BIGINT - (took_ms * from_share * 1000)::BIGINT) * 1000 AS duration_ns,
    CASE WHEN part IN (1, 3) AND luck % 100::UBIGINT = 0 THEN 'ERROR' ELSE 'UNSET' END AS status_code,
    'assistant' AS service_name,
    gen_ai_span_kind, operation,
    CASE WHEN part = 3 THEN 'openai' END AS provider,
    CASE WHEN part = 3 THEN model END AS request_model,
    CASE WHEN part = 3 THEN model END AS response_model,
    CASE WHEN part = 3 THEN (200 + luck % 800::UBIGINT)::BIGINT END AS input_tokens,
    CASE WHEN part = 3 THEN (50 + luck % 300::UBIGINT)::BIGINT END AS output_tokens,
    CASE WHEN part = 3 THEN 'otel' END AS token_rule,
    CASE WHEN part = 3 THEN ['stop'] END AS finish_reasons,
    CASE WHEN part = 1 THEN user_id END AS user_id,
    CASE WHEN part = 1 THEN 'answer' END AS prompt_name,
    CASE WHEN part = 1 THEN '7' END AS prompt_version,
    CASE WHEN part = 4 THEN 'lookup' END AS tool_name,
    CASE part
        WHEN 1 THEN '{"app.cohort":"' || cohort || '","user.id":"' || user_id || '","app.channel":"'
            || CASE WHEN luck % 3::UBIGINT = 0 THEN 'web' ELSE 'mobile' END || '","gen_ai.prompt.name":"answer"}'
        WHEN 2 THEN '{"gen_ai.operation.name":"retrieval","gen_ai.data_source.id":"handbook",'
            || '"db.collection.name":"handbook-2026-10"}'
        WHEN 3 THEN '{"gen_ai.operation.name":"chat","gen_ai.request.model":"' || model
            || '","gen_ai.system_instructions":"[{\\"type\\":\\"text\\",\\"content\\":\\"You answer customers.\\"}]",'
            || '"gen_ai.input.messages":"[{\\"role\\":\\"user\\",\\"content\\":\\"'
            || repeat('Where is my order ' || left(trace_id, 12) || ' and when? ', 8) || '\\"}]"}'
        ELSE '{"gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"lookup"}'
    END AS attributes,
    0 AS dropped_attributes_count,
    'large' AS resource_id,
    begun + INTERVAL 10 SECOND AS received_at,
    1000 AS normalizer_version
FROM models, parts
"""


def fill(address: StoreAddress, spans: int, *, days: int = 14, first_day: int = 0, users: int = 200_000) -> None:
    """Make a store, or add days to one.

    Args:
        address: where the store is.
        spans: how many each day gets, times ``days``.
        days: how many days are made.
        first_day: which of them is the first.
        users: from how many users traces come.
    """
    make_store(address)
    a_day = spans // SPANS_PER_TRACE // days
    with _opened(address) as database:
        if first_day == 0:
            database.execute(
                "INSERT INTO resources BY NAME SELECT 'large' AS resource_id, 'assistant' AS service_name,"
                ' \'{"service.name":"assistant"}\' AS attributes, now()::TIMESTAMP AS received_at'
            )
            database.execute(
                "INSERT INTO promotions BY NAME SELECT 'large' AS name, $base AS base, $candidate AS candidate,"
                " 'concurrent' AS design, $at AS started_at, 'app.cohort' AS cohort_by, 0.5 AS candidate_share,"
                " $at AS created_at",
                {"base": BASE, "candidate": CANDIDATE, "at": BEGIN + timedelta(days=PRE_DAYS)},
            )
        for number in range(first_day, first_day + days):
            at = BEGIN + timedelta(days=number)
            given = {"day": at, "first": number * a_day, "last": (number + 1) * a_day, "users": users}
            database.execute(_TRACES, given)
            database.execute(_SPANS, {"promoted": number >= PRE_DAYS})
        if isinstance(address, Path):
            database.execute("CHECKPOINT")


@contextmanager
def _opened(address: StoreAddress) -> Iterator[duckdb.DuckDBPyConnection]:
    if isinstance(address, Path):
        with duckdb.connect(str(address), config={"wal_autocheckpoint": "256MB", "memory_limit": "4GB"}) as database:
            yield database
    else:
        with connect(address, {"memory_limit": "4GB"}, read_only=False) as lake, cursor_on(lake) as database:
            yield database
