"""One vocabulary each for span kinds, providers and finish reasons: what is sent → what is stored."""

from __future__ import annotations

from collections.abc import Mapping

SPAN_KINDS: Mapping[str, str] = {
    # gen_ai.operation.name
    "chat": "LLM",
    "text_completion": "LLM",
    "generate_content": "LLM",
    "completion": "LLM",
    "generate": "LLM",
    "response": "LLM",
    "responses": "LLM",
    "realtime_inference": "LLM",
    "image": "LLM",
    "image_generation": "LLM",
    "audio": "LLM",
    "speech": "LLM",
    "transcription": "LLM",
    "translation": "LLM",
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
    "invoke_agent": "AGENT",
    "create_agent": "AGENT",
    "agent_step": "CHAIN",
    "invoke_workflow": "CHAIN",
    "plan": "CHAIN",
    "retrieval": "RETRIEVER",
    "search": "RETRIEVER",
    "rerank": "RERANKER",
    # These reach a model's provider, but no model.
    "fetch_response": "OTHER",
    "create_memory_store": "OTHER",
    "delete_memory_store": "OTHER",
    "search_memory": "OTHER",
    "create_memory": "OTHER",
    "update_memory": "OTHER",
    "upsert_memory": "OTHER",
    "delete_memory": "OTHER",
    "vectordb": "OTHER",
    "crawl": "OTHER",
    # openinference.span.kind, gen_ai.span.kind, traceloop.span.kind, langfuse.observation.type, mlflow.spanType
    "llm": "LLM",
    "generation": "LLM",
    "chat_model": "LLM",
    "embedding": "EMBEDDING",
    "chain": "CHAIN",
    "workflow": "CHAIN",
    "task": "CHAIN",
    "tool": "TOOL",
    "agent": "AGENT",
    "retriever": "RETRIEVER",
    "reranker": "RERANKER",
    "guardrail": "GUARDRAIL",
    "evaluator": "EVALUATOR",
    "prompt": "PROMPT",
    "parser": "OTHER",
    "memory": "OTHER",
}
"""Lower-cased kind or operation names → canonical span kind; another name (unknown, span, event) tells none."""

OPERATION_KINDS: Mapping[str, str] = {
    "ai.generatetext.dogenerate": "LLM",
    "ai.streamtext.dostream": "LLM",
    "ai.generateobject.dogenerate": "LLM",
    "ai.streamobject.dostream": "LLM",
    "ai.generatetext": "CHAIN",
    "ai.streamtext": "CHAIN",
    "ai.generateobject": "CHAIN",
    "ai.streamobject": "CHAIN",
    "ai.embed.doembed": "EMBEDDING",
    "ai.embedmany.doembed": "EMBEDDING",
    "ai.embed": "CHAIN",
    "ai.embedmany": "CHAIN",
    "ai.rerank.dorerank": "RERANKER",
    "ai.rerank": "CHAIN",
    "ai.toolcall": "TOOL",
    "ai.agent": "AGENT",
}
"""Lower-cased operation ids of the Vercel AI SDK → canonical span kind.

Those without a ``do`` are parents of one that has it, and repeat its usage.
"""

PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure_ai": "azure.ai.inference",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "amazon": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    # MLflow takes the area of an inference profile (us.anthropic.claude-…) for its provider.
    "us": "aws.bedrock",
    "us_gov": "aws.bedrock",
    "eu": "aws.bedrock",
    "apac": "aws.bedrock",
    "global": "aws.bedrock",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "vertex": "gcp.vertex_ai",
    "google": "gcp.vertex_ai",
    "google_vertex": "gcp.vertex_ai",
    "google.vertex": "gcp.vertex_ai",
    "gcp.vertex.agent": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google_gla": "gcp.gemini",
    "google.generative_ai": "gcp.gemini",
    "google_generative_ai": "gcp.gemini",
    "googleai": "gcp.gemini",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
    "ibm.watson.ai": "ibm.watsonx.ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "together_ai": "together",
    "togetherai": "together",
    "fireworks_ai": "fireworks",
    "huggingface": "hugging_face",
    "azure.ai.openai": "azure.ai.openai",
    "azure.ai.inference": "azure.ai.inference",
    "aws.bedrock": "aws.bedrock",
    "gcp.vertex_ai": "gcp.vertex_ai",
    "gcp.gemini": "gcp.gemini",
    "gcp.gen_ai": "gcp.gen_ai",
    "ibm.watsonx.ai": "ibm.watsonx.ai",
}
"""Provider spellings, in lower case and with underscores → the name of the OpenTelemetry registry.

A name that is not here counts up to its last dot, then to the one before (``openai.chat`` is openai): what follows
is the name of an API.
"""

NO_PROVIDERS = frozenset({"agentcc", "agentcc_gateway"})
"""Gateways that name themselves where the provider belongs: who is behind them, another name tells."""

FINISH_REASONS: Mapping[str, str] = {
    # OpenAI, Mistral, Ollama, Vercel
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "completed": "stop",
    "max_output_tokens": "length",
    "failed": "error",
    # Anthropic, Bedrock
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    # Gemini
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "image_safety": "content_filter",
    "image_prohibited_content": "content_filter",
    "image_recitation": "content_filter",
    "model_armor": "content_filter",
    "malformed_function_call": "error",
    "unexpected_tool_call": "error",
    "too_many_tool_calls": "error",
    # Cohere, watsonx.ai, Hugging Face, DeepSeek
    "complete": "stop",
    "finished": "stop",
    "eos_token": "stop",
    "eos": "stop",
    "error_toxic": "content_filter",
    "error_limit": "length",
    "timeout": "error",
    "time_limit": "error",
    "insufficient_system_resource": "error",
    "error": "error",
}
"""Finish reasons of the providers, in lower case and with underscores → one vocabulary; any other is ``other``."""

NO_FINISH_REASONS = frozenset({"", "unknown", "none", "null", "finish_reason_unspecified", "unspecified"})
"""What says that there is no reason, or none that is known."""

ANNOTATORS: Mapping[str, str] = {
    **dict.fromkeys(
        ("human", "person", "user", "end_user", "enduser", "expert", "builder", "reviewer", "annotator", "api_user"),
        "HUMAN",
    ),
    **dict.fromkeys(
        ("llm", "llm_judge", "llm_as_judge", "llm_as_a_judge", "judge", "model", "ai", "agent", "ai_assisted"), "LLM"
    ),
    **dict.fromkeys(
        ("code", "deterministic", "programmatic", "statistical", "heuristic", "rule", "rule_based", "function"),
        "CODE",
    ),
}
"""Who judges: spellings, with underscores → the names of OpenInference."""

DIRECTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        ("better", "higher", "higher_is_better", "increase", "increasing", "maximize", "max", "up", "true", "1"),
        "better",
    ),
    **dict.fromkeys(
        ("worse", "lower", "lower_is_better", "decrease", "decreasing", "minimize", "min", "down", "false", "0"),
        "worse",
    ),
}
"""What a higher score is: spellings, with underscores."""
