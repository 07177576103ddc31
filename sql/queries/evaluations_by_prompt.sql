-- How often each evaluator's label was each value, by the prompt version of the traces that it judged.
WITH prompts AS (
    SELECT DISTINCT trace_id, prompt_name, prompt_version
    FROM spans
    WHERE prompt_name IS NOT NULL OR prompt_version IS NOT NULL
),
counted AS (
    SELECT
        prompts.prompt_name, prompts.prompt_version, judged.name, judged.evaluator_version, judged.label,
        count(*) AS results, round(avg(judged.score), 3) AS mean_score
    FROM evaluations_by_trace AS judged
    INNER JOIN prompts ON judged.trace_id = prompts.trace_id
    GROUP BY ALL
)
SELECT
    prompt_name, prompt_version, name, evaluator_version, label, results,
    round(100 * results / sum(results) OVER (
        PARTITION BY prompt_name, prompt_version, name, evaluator_version
    ), 1) AS percent,
    mean_score
FROM counted
ORDER BY prompt_name, prompt_version, name, evaluator_version, label
