"""What the configuration says unless it is told otherwise."""

from __future__ import annotations

ITEM_ATTRIBUTES = (
    "dataset.item.id",
    "dataset_item_id",
    "langfuse.experiment.item.id",
    "langsmith.reference_example_id",
    "braintrust.origin.id",
    "metadata.dataset_item_id",
    "traceloop.association.properties.dataset_item_id",
    "test.case.id",
    "case_name",
)
"""Where runs say which item they are of, the first that is known in the data set deciding: a neutral name, Langfuse's
and LangSmith's experiments, a key of Braintrust's origin, of OpenInference's and traceAI's metadata, of Traceloop's
association properties, a test case, Pydantic Evals' cases."""

VALIDATION_EVALUATORS = ("JSONValidation", "schema_validation")
"""Evaluators whose failure tells that an answer had to be repaired."""
