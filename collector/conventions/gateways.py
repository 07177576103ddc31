"""What gateways say of the attempts behind a span: on their own spans, or in response headers that applications copy.

Not read, because they count something else: ordinals of one attempt where every attempt has a span (Bifrost's
retries, ``http.request.resend_count``), indices that load balancing moves too (Portkey's last used option), ids that
a whole trace shares (Portkey's trace id), a model that differs from the one asked for (an alias and its snapshot do).
"""

from __future__ import annotations

import pyarrow as pa

from collector.conventions.sources import SPAN_NAME, Column, Columns, Convention, Reader, Source
from collector.conventions.sources import attributes as _attributes
from collector.conventions.sources import headers as _headers

_C = Convention
_R = Reader

GATEWAY_COLUMNS: Columns = {
    "attempt_group": Column(
        pa.string(),
        "id that the attempts of one step share",
        sources=(
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.TEXT, "agentcc.request_id"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.TEXT, "x-agentcc-request-id"),
            *_attributes(_C.BIFROST, _R.TEXT, "bifrost.request_id", "gen_ai.request_id"),
            *_headers(_C.NGROK, _R.TEXT, "ngrok-aig-request-id"),
        ),
    ),
    "gateway_attempts": Column(
        pa.int64(),
        "attempts that a gateway made behind this span; 1: the first one answered",
        sources=(
            *_attributes(_C.APPLICATIONS, _R.INTEGER, "gen_ai.request.attempts", "gen_ai.request.attempt_count"),
            Source("attempt", _C.CLAUDE_CODE, _R.INTEGER, when=(SPAN_NAME, "claude_code.llm_request")),
            *_headers(_C.PORTKEY, _R.ONE_MORE, "x-portkey-retry-attempt-count"),
            *_headers(_C.ENVOY, _R.INTEGER, "x-envoy-attempt-count"),
            *_headers(_C.NGROK, _R.INTEGER, "ngrok-aig-attempts"),
            *_headers(_C.CLOUDFLARE, _R.ONE_MORE, "cf-aig-step"),
            *_headers(_C.HELICONE, _R.ONE_MORE, "helicone-fallback-index"),
        ),
    ),
    "gateway_fallback": Column(
        pa.bool_(),
        "whether a gateway answered with another model or deployment than the one asked for",
        sources=(
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.BOOLEAN, "gateway_fallback_used", "agentcc.fallback_used"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.BOOLEAN, "x-agentcc-fallback-used"),
            *_attributes(_C.LITELLM, _R.ANY_AT_ALL, "litellm.attempted_fallbacks"),
            *_headers(_C.LITELLM, _R.ANY_AT_ALL, "x-litellm-attempted-fallbacks"),
            *_attributes(_C.BIFROST, _R.ANY_AT_ALL, "bifrost.fallback_index", "gen_ai.fallback_index"),
            *_headers(_C.CLOUDFLARE, _R.ANY_AT_ALL, "cf-aig-step"),
            *_headers(_C.HELICONE, _R.ANY_AT_ALL, "helicone-fallback-index"),
        ),
    ),
    "gateway_cache_hit": Column(
        pa.bool_(),
        "whether a gateway answered from its own cache",
        sources=(
            *_attributes(_C.AGENT_COMMAND_CENTER, _R.CACHE_STATUS, "agentcc.cache_status"),
            *_headers(_C.AGENT_COMMAND_CENTER, _R.CACHE_STATUS, "x-agentcc-cache"),
            *_headers(_C.PORTKEY, _R.CACHE_STATUS, "x-portkey-cache-status"),
            *_headers(_C.CLOUDFLARE, _R.CACHE_STATUS, "cf-aig-cache-status"),
            *_headers(_C.HELICONE, _R.CACHE_STATUS, "helicone-cache"),
        ),
    ),
}

REPEAT_COLUMNS: Columns = {
    "retries": Column(
        pa.int64(),
        "retries made",
        sources=(
            *_attributes(_C.LITELLM, _R.INTEGER, "litellm.attempted_retries", "metadata.attempted_retries"),
            *_headers(_C.LITELLM, _R.INTEGER, "x-litellm-attempted-retries"),
        ),
    ),
    "fallbacks": Column(
        pa.int64(),
        "fallbacks made",
        sources=(
            *_attributes(_C.LITELLM, _R.INTEGER, "litellm.attempted_fallbacks"),
            *_headers(_C.LITELLM, _R.INTEGER, "x-litellm-attempted-fallbacks"),
        ),
    ),
}
"""Counts that a gateway tells apart: where no number of attempts is told, it is one more than their sum."""
