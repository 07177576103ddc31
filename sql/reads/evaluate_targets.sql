-- What an evaluator may judge: model calls, each once, or the traces that they belong to, in an order that tells
-- nothing of their time, model or cohort; what it has judged already is marked. Traces that a simulator made are left
-- out unless asked for, as in reports.
WITH simulated AS (
    SELECT DISTINCT trace_id
    FROM spans
    WHERE is_simulated AND NOT $simulated::BOOLEAN
),
called AS (
    SELECT trace_id, span_id, start_time, request_model
    FROM calls ANTI JOIN simulated USING (trace_id)
    WHERE
        is_call AND is_counted AND gen_ai_span_kind = 'LLM'
        AND ($since::TIMESTAMP_NS IS NULL OR start_time >= $since::TIMESTAMP_NS)
        AND ($until::TIMESTAMP_NS IS NULL OR start_time < $until::TIMESTAMP_NS)
        AND ($sample_below::VARCHAR IS NULL OR left(md5(trace_id), 16) < $sample_below)
),
armed AS (
    -- As in reports: the arm is the model of the two that was asked first.
    SELECT
        trace_id,
        arg_min(request_model, (start_time, span_id)) FILTER (WHERE request_model IN ($base, $candidate)) AS arm_model
    FROM called
    GROUP BY trace_id
),
stated AS (
    SELECT
        trace_id,
        coalesce(
            first(
                nullif(json_extract_string(spans.attributes, $cohort_path), '')
                ORDER BY parent_span_id IS NOT NULL, start_time
            )
            FILTER (WHERE nullif(json_extract_string(spans.attributes, $cohort_path), '') IS NOT NULL),
            first(
                nullif(json_extract_string(resources.attributes, $cohort_path), '')
                ORDER BY parent_span_id IS NOT NULL, start_time
            )
            FILTER (WHERE nullif(json_extract_string(resources.attributes, $cohort_path), '') IS NOT NULL)
        ) AS cohort
    FROM spans SEMI JOIN called USING (trace_id) LEFT JOIN resources USING (resource_id)
    WHERE $cohorts::VARCHAR[] IS NOT NULL
    GROUP BY trace_id
),
targets AS (
    SELECT
        trace_id, CASE WHEN $level = 'call' THEN span_id END AS span_id, min(start_time) AS start_time,
        CASE
            WHEN arm_model = $base::VARCHAR THEN 'base'
            WHEN arm_model = $candidate::VARCHAR THEN 'candidate'
        END AS arm
    FROM called INNER JOIN armed USING (trace_id) LEFT JOIN stated USING (trace_id)
    WHERE
        ($base::VARCHAR IS NULL OR arm_model IS NOT NULL)
        AND ($cohorts::VARCHAR[] IS NULL OR cohort IN (SELECT unnest($cohorts::VARCHAR[])))
    GROUP BY ALL
)
SELECT
    targets.trace_id, targets.span_id, targets.arm,
    exists(
        FROM evaluations
        WHERE
            evaluations.trace_id = targets.trace_id AND evaluations.span_id IS NOT DISTINCT FROM targets.span_id
            AND evaluations.name = $name::VARCHAR AND evaluations.source = $source::VARCHAR
            AND evaluations.evaluator_version IS NOT DISTINCT FROM $version::VARCHAR
            AND evaluations.judge_model IS NOT DISTINCT FROM $judge_model::VARCHAR
            AND (evaluations.error_type IS NULL OR evaluations.error_type NOT IN (SELECT unnest($transient::VARCHAR[])))
    ) AS judged
FROM targets
ORDER BY md5(targets.trace_id), targets.start_time, targets.span_id
