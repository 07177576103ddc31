-- Under which conditions traces ran, one row for each that says any: which definitions of tools and which instructions
-- their first model call had (hashes alone leave the store), what was retrieved of which index, and with what
-- probability a sampler kept them. The first call is asked because later ones depend on what the model answered.
-- Attributes by their names: OpenTelemetry GenAI, OpenInference, OpenLLMetry, MLflow, Pydantic AI, Vercel AI SDK,
-- Langfuse, Logfire; of samplers OpenTelemetry's trace state, the Collector, Honeycomb, Datadog, Jaeger. A path that
-- the configuration leaves open is null. Of the time before $conditions_since only the samplers' words are read. Of the
-- traces those of one part of the window, as report_spans takes it, and of $slices.
WITH begun AS NOT MATERIALIZED (
    SELECT trace_id, span_id, parent_span_id, start_time, gen_ai_span_kind, trace_state, attributes
    FROM spans
    WHERE
        start_time >= $since::TIMESTAMP_NS AND start_time < $until::TIMESTAMP_NS
        AND (start_time < $part_until::TIMESTAMP_NS OR trace_id IN (SELECT unnest($crossing::VARCHAR[])))
        AND trace_id NOT IN (SELECT unnest($elsewhere::VARCHAR[]))
        AND hash(trace_id) % $slices::UBIGINT = $slice::UBIGINT
),
first_calls AS (
    SELECT trace_id, arg_min(span_id, (start_time, span_id)) AS span_id
    FROM begun
    WHERE gen_ai_span_kind = 'LLM' AND start_time >= $conditions_since::TIMESTAMP_NS
    GROUP BY trace_id
),
asked AS NOT MATERIALIZED (
    SELECT
        trace_id,
        json_extract_string(attributes, [
            coalesce($tool_path::VARCHAR, '/'),
            '/gen_ai.tool.definitions',
            '/mlflow.chat.tools',
            '/model_request_parameters',
            '/ai.prompt.tools', '/llm.tools.0.tool.json_schema', '/llm.request.functions.0.name',
            coalesce($instruction_path::VARCHAR, '/'), '/gen_ai.system_instructions',
            '/llm.input_messages.0.message.role', '/llm.input_messages.0.message.content',
            '/llm.input_messages.0.message.contents.0.message_content.text',
            '/gen_ai.prompt.0.role', '/gen_ai.prompt.0.content',
            '/gen_ai.input.messages', '/ai.prompt.messages', '/ai.prompt', '/request_data', '/mlflow.spanInputs',
            '/langfuse.observation.input'
        ]) AS told,
        attributes
    FROM begun
    WHERE gen_ai_span_kind = 'LLM' AND (trace_id, span_id) IN (SELECT (trace_id, span_id) FROM first_calls)
),
read AS NOT MATERIALIZED (
    SELECT
        trace_id,
        coalesce(
            told[1], told[2], told[3], told[4], told[5],
            CASE
                WHEN told[6] IS NOT NULL OR told[7] IS NOT NULL
                    THEN array_to_string(json_extract_string(attributes, $numbered_tool_paths::VARCHAR[]), chr(10))
            END
        ) AS tools,
        coalesce(
            told[8], told[9],
            CASE WHEN told[10] IN ('system', 'developer') THEN coalesce(told[11], told[12]) END,
            CASE WHEN told[13] IN ('system', 'developer') THEN told[14] END
        ) AS instructions,
        coalesce(told[15], told[16], told[17], told[18], told[19], told[20]) AS messages
    FROM asked
),
contracts AS (
    SELECT
        trace_id,
        md5(tools) AS tool_schema,
        md5(coalesce(instructions, CASE
            WHEN json_valid(messages) THEN
                CASE
                    WHEN
                        coalesce(messages ->> '$[0].role', messages ->> '$.messages[0].role') IN ('system', 'developer')
                        THEN coalesce(messages ->> '$[0]', messages ->> '$.messages[0]')
                    ELSE coalesce(messages ->> '$.system', messages ->> '$.instructions')
                END
        END)) AS system_prompt
    FROM read
),
found AS NOT MATERIALIZED (
    SELECT
        trace_id,
        start_time,
        span_id,
        json_extract_string(attributes, [
            coalesce($retrieval_path::VARCHAR, '/'), '/retrieval.index.version', '/gen_ai.data_source.id',
            '/db.collection.name', '/db.namespace', '/gen_ai.retrieval.documents', '/retrieval.documents.0.document.id',
            '/retrieval.documents.0.document.content'
        ]) AS told,
        attributes
    FROM begun
    WHERE gen_ai_span_kind = 'RETRIEVER' AND start_time >= $conditions_since::TIMESTAMP_NS
),
retrievals AS (
    SELECT
        trace_id,
        -- A source keeps its name when the collection behind it is a new one: all that is said together is the version.
        arg_min(
            coalesce(told[1], nullif(concat_ws(' / ', told[2], told[3], told[4], told[5]), '')), (start_time, span_id)
        ) AS retrieval_version,
        avg(CASE
            WHEN json_valid(told[6]) THEN json_array_length(told[6])
            WHEN told[7] IS NOT NULL OR told[8] IS NOT NULL THEN len(list_distinct(list_transform(
                json_keys(attributes),
                LAMBDA name: nullif(regexp_extract(name, '^retrieval\.documents\.(\d+)\.', 1), '')
            )))
        END) AS documents
    FROM found
    GROUP BY trace_id
),
sampled AS NOT MATERIALIZED (
    SELECT
        trace_id,
        parent_span_id IS NULL AS is_root,
        nullif(regexp_extract(trace_state, '(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-fA-F]{1,14})(?:[;,\s]|$)', 1), '')
            AS threshold,
        json_extract_string(attributes, [
            coalesce($keep_path::VARCHAR, '/'), '/sampling.probability', '/sampling.keep_probability', '/_dd.rule_psr',
            '/_dd.agent_psr', '/_sampling_priority_rate_v1', '/SampleRate', '/sample_rate', '/sampler.type',
            '/sampler.param', '/meta.refinery.reason', '/tailsampling.policy', '/sampling.policy', '/sampling.rule'
        ]) AS told
    FROM begun
    WHERE parent_span_id IS NULL OR (trace_id, span_id) IN (SELECT (trace_id, span_id) FROM first_calls)
),
kept AS (
    SELECT
        trace_id,
        is_root,
        coalesce(
            try_cast(told[1] AS DOUBLE), try_cast(told[2] AS DOUBLE), try_cast(told[3] AS DOUBLE),
            1 - ('0x' || rpad(threshold, 14, '0'))::BIGINT / 72057594037927936,
            try_cast(told[4] AS DOUBLE), try_cast(told[5] AS DOUBLE), try_cast(told[6] AS DOUBLE),
            1 / nullif(try_cast(told[7] AS DOUBLE), 0), 1 / nullif(try_cast(told[8] AS DOUBLE), 0),
            CASE WHEN told[9] = 'probabilistic' THEN try_cast(told[10] AS DOUBLE) END
        ) AS probability,
        coalesce(told[11], told[12], told[13], told[14], CASE WHEN told[9] <> 'probabilistic' THEN told[9] END) AS rule
    FROM sampled
),
weights AS (
    SELECT
        trace_id,
        coalesce(max(probability) FILTER (is_root), max(probability)) AS keep_probability,
        coalesce(max(rule) FILTER (is_root), max(rule)) AS sampling_rule
    FROM kept
    WHERE probability IS NOT NULL OR rule IS NOT NULL
    GROUP BY trace_id
)
SELECT
    trace_id, tool_schema, system_prompt, retrieval_version, documents AS retrieved_documents,
    -- A probability is above 0 and at most 1; anything else says nothing.
    CASE WHEN keep_probability > 0 AND keep_probability <= 1 THEN keep_probability END AS keep_probability,
    sampling_rule
FROM (SELECT * FROM contracts WHERE tool_schema IS NOT NULL OR system_prompt IS NOT NULL)
FULL JOIN retrievals USING (trace_id)
FULL JOIN weights USING (trace_id)
