"""Providers, as the genai-prices package names them."""

from __future__ import annotations

# Our provider names (OpenTelemetry's) where the package has others.
_PROVIDERS = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "aws.bedrock": "aws",
    "gcp.vertex_ai": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
    "moonshot_ai": "moonshotai",
    "together": "together",
    "together_ai": "together",
    "perplexity": "perplexity",
}
# Emitters that name themselves, not who serves the model: the model's name must do.
_FRAMEWORKS = frozenset(
    {
        "langchain",
        "langgraph",
        "llamaindex",
        "llama_index",
        "function",
        "litellm",
        "pydantic_ai",
        "haystack",
        "dspy",
    }
)


def provider_id(provider: str | None) -> str | None:
    """A provider as the package names it; None for what is none, such as a framework."""
    return None if provider is None or provider in _FRAMEWORKS else _PROVIDERS.get(provider, provider)
