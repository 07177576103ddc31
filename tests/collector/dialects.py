"""One model call as each convention would tell it: encoders for the tests of normalising."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.collector.dialect import ANSWER, CACHE, PROMPT, SESSION, SETTINGS, Attributes, Call, Dialect


def _request(call: Call) -> Attributes:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": call.request_model,
        "gen_ai.request.temperature": call.temperature,
        "gen_ai.request.max_tokens": call.max_tokens,
        "gen_ai.response.model": call.response_model,
        "gen_ai.response.id": call.response_id,
        "gen_ai.response.finish_reasons": [call.finish_reason],
    }


def _usage(call: Call) -> Attributes:
    return {"gen_ai.usage.input_tokens": call.input_tokens, "gen_ai.usage.output_tokens": call.output_tokens}


def _opentelemetry_1_26(call: Call) -> Attributes:
    request = _request(call)
    del request["gen_ai.operation.name"]
    return {
        **request,
        "gen_ai.system": call.provider,
        "gen_ai.usage.prompt_tokens": call.input_tokens,
        "gen_ai.usage.completion_tokens": call.output_tokens,
    }


def _opentelemetry_1_28(call: Call) -> Attributes:
    return {**_request(call), **_usage(call), "gen_ai.system": call.provider,
            "gen_ai.openai.request.seed": call.seed}  # fmt: skip


def _opentelemetry_1_40(call: Call) -> Attributes:
    return {
        **_request(call),
        **_usage(call),
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.seed": call.seed,
        "gen_ai.conversation.id": call.conversation_id,
        "gen_ai.usage.cache_read.input_tokens": call.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": call.cache_write_tokens,
    }


def _opentelemetry_newest(call: Call) -> Attributes:
    told = _opentelemetry_1_40(call)
    told["gen_ai.usage.cache_write.input_tokens"] = told.pop("gen_ai.usage.cache_creation.input_tokens")
    return {
        **told,
        "gen_ai.usage.reasoning.output_tokens": call.reasoning_tokens,
        "gen_ai.request.stream": call.is_streaming,
        "gen_ai.response.time_to_first_chunk": call.time_to_first_token_ms / 1000,
        "gen_ai.prompt.name": call.prompt_name,
        "gen_ai.prompt.version": call.prompt_version,
        "user.id": call.user_id,
    }


def _openinference(call: Call) -> Attributes:
    settings = {"model": call.request_model, "temperature": call.temperature, "max_tokens": call.max_tokens,
                "seed": call.seed, "stream": call.is_streaming}  # fmt: skip
    return {
        "openinference.span.kind": "llm",
        "llm.provider": call.provider,
        "llm.invocation_parameters": settings,
        "llm.model_name": call.response_model,
        "llm.finish_reason": call.finish_reason,
        "llm.token_count.prompt": call.input_tokens,
        "llm.token_count.completion": call.output_tokens,
        "llm.token_count.total": call.total,
        "llm.token_count.prompt_details.cache_read": call.cache_read_tokens,
        "llm.token_count.prompt_details.cache_write": call.cache_write_tokens,
        "llm.token_count.completion_details.reasoning": call.reasoning_tokens,
        "llm.cost.total": call.cost,
        "llm.prompt_template.version": call.prompt_version,
        "prompt.id": call.prompt_name,
        "session.id": call.conversation_id,
        "user.id": call.user_id,
    }


def _openllmetry(call: Call) -> Attributes:
    return {
        **_opentelemetry_1_40(call),
        "gen_ai.usage.total_tokens": call.total,
        "gen_ai.usage.reasoning_tokens": call.reasoning_tokens,
        "gen_ai.is_streaming": call.is_streaming,
        "traceloop.association.properties.user_id": call.user_id,
        "traceloop.prompt.key": call.prompt_name,
        "traceloop.prompt.version": call.prompt_version,
    }


def _openllmetry_older(call: Call) -> Attributes:
    request = _request(call)
    reason = request.pop("gen_ai.response.finish_reasons")[0]
    del request["gen_ai.operation.name"]
    return {
        **request,
        "llm.request.type": "chat",
        "gen_ai.system": call.provider,
        "gen_ai.completion.0.finish_reason": reason,
        "gen_ai.usage.prompt_tokens": call.input_tokens,
        "gen_ai.usage.completion_tokens": call.output_tokens,
        "llm.usage.total_tokens": call.total,
        "gen_ai.usage.cache_read_input_tokens": call.cache_read_tokens,
        "gen_ai.usage.cache_creation_input_tokens": call.cache_write_tokens,
        "llm.usage.reasoning_tokens": call.reasoning_tokens,
        "llm.is_streaming": call.is_streaming,
    }


def _langfuse(call: Call) -> Attributes:
    usage = {
        "input": call.uncached,
        "output": call.output_tokens - call.reasoning_tokens,
        "total": call.total,
        "input_cached_tokens": call.cache_read_tokens,
        "input_cache_creation_5m": call.cache_write_tokens - call.cache_write_1h_tokens,
        "input_cache_creation_1h": call.cache_write_1h_tokens,
        "output_reasoning_tokens": call.reasoning_tokens,
    }
    return {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": call.request_model,
        "langfuse.observation.model.parameters": {"temperature": call.temperature, "max_tokens": call.max_tokens,
                                                  "seed": call.seed},
        "langfuse.observation.usage_details": usage,
        "langfuse.observation.cost_details": {"input": call.cost / 4, "output": call.cost * 3 / 4},
        "langfuse.observation.prompt.name": call.prompt_name,
        "langfuse.observation.prompt.version": call.prompt_version,
        "langfuse.session.id": call.conversation_id,
        "langfuse.user.id": call.user_id,
    }  # fmt: skip


def _langfuse_with_openai_usage(call: Call) -> Attributes:
    usage = {
        "prompt_tokens": call.input_tokens,
        "completion_tokens": call.output_tokens,
        "total_tokens": call.total,
        "prompt_tokens_details": {"cached_tokens": call.cache_read_tokens},
        "completion_tokens_details": {"reasoning_tokens": call.reasoning_tokens},
    }
    return {**_langfuse(call), "langfuse.observation.usage_details": usage}


def _mlflow(call: Call) -> Attributes:
    usage = {
        "input_tokens": call.input_tokens,
        "output_tokens": call.output_tokens,
        "total_tokens": call.total,
        "cache_read_input_tokens": call.cache_read_tokens,
        "cache_creation_input_tokens": call.cache_write_tokens,
        "cache_creation_input_tokens_above_1hr": call.cache_write_1h_tokens,
    }
    return {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": json.dumps(call.request_model),
        "mlflow.llm.provider": json.dumps(call.provider),
        "mlflow.chat.tokenUsage": usage,
        "mlflow.llm.cost": {"input_cost": call.cost / 2, "output_cost": call.cost / 2, "total_cost": call.cost},
        "mlflow.linkedPrompts": [{"name": call.prompt_name, "version": call.prompt_version}],
        "mlflow.trace.session": json.dumps(call.conversation_id),
        "mlflow.trace.user": json.dumps(call.user_id),
    }


def _openlit(call: Call) -> Attributes:
    return {
        **_request(call),
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": call.uncached,
        "gen_ai.usage.output_tokens": call.output_tokens,
        "gen_ai.client.token.usage": call.uncached + call.output_tokens,
        "gen_ai.usage.cost": call.cost,
        "gen_ai.usage.cache_read.input_tokens": call.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": call.cache_write_tokens,
        "gen_ai.request.stream": call.is_streaming,
        "gen_ai.server.time_to_first_token": call.time_to_first_token_ms / 1000,
        "gen_ai.conversation.id": call.conversation_id,
        "gen_ai.request.user": call.user_id,
    }


def _openlit_older(call: Call) -> Attributes:
    return {
        **_request(call),
        **_usage(call),
        "gen_ai.system": call.provider,
        "gen_ai.usage.total_tokens": call.total,
        "gen_ai.usage.prompt_tokens_details.cached_tokens": call.cache_read_tokens,
        "gen_ai.usage.prompt_tokens_details.cache_creation_tokens": call.cache_write_tokens,
        "gen_ai.usage.completion_tokens_details.reasoning_tokens": call.reasoning_tokens,
        "gen_ai.usage.cost": call.cost,
        "gen_ai.request.is_stream": call.is_streaming,
    }


def _vercel_legacy(call: Call) -> Attributes:
    return {
        "ai.operationId": "ai.streamText.doStream" if call.is_streaming else "ai.generateText.doGenerate",
        "operation.name": "ai.streamText.doStream my-function",
        "ai.model.id": call.request_model,
        "ai.model.provider": call.provider,
        "ai.response.model": call.response_model,
        "ai.response.id": call.response_id,
        "ai.response.finishReason": call.finish_reason,
        "ai.settings.temperature": call.temperature,
        "ai.settings.maxOutputTokens": call.max_tokens,
        "ai.settings.seed": call.seed,
        "ai.usage.inputTokens": call.input_tokens,
        "ai.usage.outputTokens": call.output_tokens,
        "ai.usage.totalTokens": call.total,
        "ai.usage.reasoningTokens": call.reasoning_tokens,
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
        "ai.response.providerMetadata": {
            "anthropic": {
                "usage": {
                    "cache_read_input_tokens": call.cache_read_tokens,
                    "cache_creation_input_tokens": call.cache_write_tokens,
                    "cache_creation": {
                        "ephemeral_5m_input_tokens": call.cache_write_tokens - call.cache_write_1h_tokens,
                        "ephemeral_1h_input_tokens": call.cache_write_1h_tokens,
                    },
                }
            }
        },
        "ai.response.msToFirstChunk": call.time_to_first_token_ms,
        "ai.telemetry.metadata.sessionId": call.conversation_id,
        "ai.telemetry.metadata.userId": call.user_id,
        "ai.telemetry.metadata.langfusePrompt": {"name": call.prompt_name, "version": call.prompt_version},
    }


def _vercel_4(call: Call) -> Attributes:
    """Anthropic's counts beside its own exclusive input."""
    told = _vercel_legacy(call)
    for name in ("inputTokens", "outputTokens", "totalTokens", "reasoningTokens"):
        del told[f"ai.usage.{name}"]
    return {
        **told,
        "ai.model.provider": "anthropic.messages",
        "ai.usage.promptTokens": call.uncached,
        "ai.usage.completionTokens": call.output_tokens,
        "gen_ai.usage.input_tokens": call.uncached,
        "ai.response.providerMetadata": {
            "anthropic": {
                "cacheReadInputTokens": call.cache_read_tokens,
                "cacheCreationInputTokens": call.cache_write_tokens,
            }
        },
    }


def _vercel_5(call: Call) -> Attributes:
    """The same, with Anthropic's whole usage object, and a total that is the sum of what is told."""
    told = _vercel_legacy(call)
    told["ai.response.providerMetadata"]["anthropic"]["usage"]["input_tokens"] = call.uncached
    return {
        **told,
        "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": call.uncached,
        "gen_ai.usage.input_tokens": call.uncached,
        "ai.usage.totalTokens": call.uncached + call.output_tokens,
    }


def _vercel_bedrock(call: Call) -> Attributes:
    return {
        **_vercel_legacy(call),
        "ai.model.provider": "amazon-bedrock",
        "ai.usage.inputTokens": call.uncached,
        "gen_ai.usage.input_tokens": call.uncached,
        "ai.usage.totalTokens": call.total,
    }


def _vercel_6(call: Call) -> Attributes:
    told = _vercel_legacy(call)
    del told["ai.response.providerMetadata"], told["ai.usage.reasoningTokens"]
    return {
        **told,
        "ai.usage.cachedInputTokens": call.cache_read_tokens,
        "ai.usage.inputTokenDetails.noCacheTokens": call.uncached,
        "ai.usage.inputTokenDetails.cacheReadTokens": call.cache_read_tokens,
        "ai.usage.inputTokenDetails.cacheWriteTokens": call.cache_write_tokens,
        "ai.usage.outputTokenDetails.reasoningTokens": call.reasoning_tokens,
    }


def _vercel_7(call: Call) -> Attributes:
    return {
        **_opentelemetry_1_40(call),
        "gen_ai.client.operation.time_to_first_chunk": call.time_to_first_token_ms / 1000,
        "ai.settings.context.userId": call.user_id,
    }


def _pydantic(call: Call) -> Attributes:
    return {
        **_opentelemetry_1_40(call),
        "gen_ai.system": call.provider,
        "gen_ai.response.finish_reasons": json.dumps([call.finish_reason]),
        "gen_ai.usage.details.cache_read_tokens": call.cache_read_tokens,
        "gen_ai.usage.details.cache_write_tokens": call.cache_write_tokens,
        "gen_ai.usage.details.reasoning_tokens": call.reasoning_tokens,
        "gen_ai.aggregated_usage.input_tokens": call.input_tokens * 3,
        "operation.cost": call.cost,
    }


def _logfire(call: Call) -> Attributes:
    return {
        **_request(call),
        **_usage(call),
        "gen_ai.system": call.provider,
        "gen_ai.provider.name": call.provider,
        "request_data": {"model": call.request_model, "seed": call.seed},
        "gen_ai.usage.raw": {
            "input_tokens": call.uncached,
            "output_tokens": call.output_tokens,
            "cache_read_input_tokens": call.cache_read_tokens,
            "cache_creation_input_tokens": call.cache_write_tokens,
        },
    }


def _logfire_before_4_31(call: Call) -> Attributes:
    return {**_logfire(call), "gen_ai.usage.input_tokens": call.uncached}


def _traceai(call: Call) -> Attributes:
    return {
        **_request(call),
        **_usage(call),
        "gen_ai.span.kind": "LLM",
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.parameters": {"seed": call.seed, "stream": call.is_streaming},
        "gen_ai.usage.total_tokens": call.total,
        "gen_ai.usage.cache_read_tokens": call.cache_read_tokens,
        "gen_ai.usage.input_tokens.cache_write": call.cache_write_tokens,
        "gen_ai.usage.output_tokens.reasoning": call.reasoning_tokens,
        "gen_ai.cost.total": call.cost,
        "gen_ai.server.time_to_first_token": call.time_to_first_token_ms / 1000,
        "gen_ai.prompt.template.name": call.prompt_name,
        "gen_ai.prompt.template.version": call.prompt_version,
        "session.id": call.conversation_id,
        "user.id": call.user_id,
    }


_HOUR = "cache_write_1h_tokens"
_TTFT = "time_to_first_token_ms"
_COST = "reported_cost_usd"
_STREAM = "is_streaming"
_SOME = ("temperature", "max_tokens")
_LANGFUSE = (*SETTINGS, *SESSION, *PROMPT, _COST, "reasoning_tokens", "cache_read_tokens")

DIALECTS: Mapping[str, Dialect] = {
    "OpenTelemetry 1.26": Dialect(_opentelemetry_1_26, (*ANSWER, *_SOME)),
    "OpenTelemetry 1.28": Dialect(_opentelemetry_1_28, (*ANSWER, *SETTINGS)),
    "OpenTelemetry 1.40": Dialect(_opentelemetry_1_40, (*ANSWER, *SETTINGS, *CACHE, "conversation_id")),
    "OpenTelemetry newest": Dialect(
        _opentelemetry_newest,
        (*ANSWER, *SETTINGS, *CACHE, *SESSION, *PROMPT, "reasoning_tokens", _STREAM, _TTFT),
    ),
    "OpenInference": Dialect(
        _openinference,
        (*CACHE, *SETTINGS, *SESSION, *PROMPT, "provider", "response_model", "finish_reasons", "reasoning_tokens",
         _STREAM, _COST),
        "openinference.instrumentation.openai", "0.1.66",
    ),
    "OpenLLMetry": Dialect(
        _openllmetry, (*ANSWER, *SETTINGS, *CACHE, *SESSION, *PROMPT, "reasoning_tokens", _STREAM),
        "opentelemetry.instrumentation.openai.v1", "0.62.4",
    ),
    "OpenLLMetry, older": Dialect(
        _openllmetry_older, (*ANSWER, *_SOME, *CACHE, "reasoning_tokens", _STREAM),
        "opentelemetry.instrumentation.anthropic", "0.40.14",
    ),
    "Langfuse": Dialect(_langfuse, (*_LANGFUSE, *CACHE, _HOUR), "langfuse-sdk", "3.3.0"),
    "Langfuse with OpenAI's usage": Dialect(_langfuse_with_openai_usage, _LANGFUSE, "langfuse-sdk", "3.3.0"),
    "MLflow": Dialect(_mlflow, ("provider", *CACHE, *SESSION, *PROMPT, _HOUR, _COST)),
    "OpenLIT": Dialect(
        _openlit,
        (*ANSWER, *_SOME, *CACHE, *SESSION, _STREAM, _TTFT, _COST),
        "openlit.instrumentation.anthropic",
        native={"provider": "anthropic"},
    ),
    "OpenLIT, older": Dialect(
        _openlit_older, (*ANSWER, *_SOME, *CACHE, "reasoning_tokens", _STREAM, _COST), "openlit.otel.tracing"
    ),
    "Vercel AI SDK 4, Anthropic": Dialect(
        _vercel_4, (*ANSWER, *SETTINGS, *CACHE, *SESSION, *PROMPT, _STREAM, _TTFT), "ai",
        native={"provider": "anthropic"},
    ),
    "Vercel AI SDK 5, Anthropic": Dialect(
        _vercel_5,
        (*ANSWER, *SETTINGS, *CACHE, *SESSION, *PROMPT, _HOUR, "reasoning_tokens", _STREAM, _TTFT), "ai",
        native={"provider": "anthropic"},
    ),
    "Vercel AI SDK 5, Bedrock": Dialect(
        _vercel_bedrock, (*ANSWER, *SETTINGS, *CACHE, _HOUR, "reasoning_tokens"), "ai",
        native={"provider": "aws.bedrock"},
    ),
    "Vercel AI SDK 6": Dialect(_vercel_6, (*ANSWER, *SETTINGS, *CACHE, "reasoning_tokens", _TTFT), "ai", "6.0.1"),
    "Vercel AI SDK 7": Dialect(_vercel_7, (*ANSWER, *SETTINGS, *CACHE, *SESSION, _TTFT), "ai", "7.0.77"),
    "Pydantic AI": Dialect(
        _pydantic, (*ANSWER, *SETTINGS, *CACHE, "conversation_id", "reasoning_tokens", _COST), "pydantic-ai", "2.62.0"
    ),
    "Logfire": Dialect(_logfire, (*ANSWER, *SETTINGS, *CACHE), "logfire.anthropic", "5.1.1"),
    "Logfire before 4.31": Dialect(_logfire_before_4_31, (*ANSWER, *SETTINGS, *CACHE), "logfire.anthropic", "4.30.0"),
    "traceAI": Dialect(
        _traceai, (*ANSWER, *SETTINGS, *CACHE, *SESSION, *PROMPT, "reasoning_tokens", _STREAM, _TTFT, _COST)
    ),
}  # fmt: skip
"""Every convention that is read, in the versions that differ."""
