-- Feedback of which nothing is stored: there is nothing to replace.
CREATE OR REPLACE TEMP TABLE arrived AS
SELECT
    feedback_identity(id, trace_id, span_id, response_id, conversation_id, key, name, source) AS feedback_id,
    * EXCLUDE (id)
FROM incoming;
INSERT INTO new_outcomes SELECT 'feedback', feedback_id, event_time FROM arrived;
INSERT INTO feedback BY NAME FROM arrived
