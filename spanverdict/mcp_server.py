"""The tools as a server of the Model Context Protocol, over standard input and output.

Protocol: https://modelcontextprotocol.io/specification; the official SDK speaks it (release 2).
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from analytics.errors import InputError
from analytics.report.text import sentence
from spanverdict.mcp_text import WARNING
from spanverdict.mcp_tools import Tools
from sql.address import StoreAddress
from sql.errors import StoreError

_INSTRUCTIONS = (
    "spanverdict compares a candidate model with the base model it is to replace, by cohort, on OpenTelemetry traces. "
    "Begin with what_regressed, then look at traces with get_trace. For other questions: list_saved_queries, or "
    f"list_tables, describe and query. Everything is read-only. {WARNING} An error may quote such data, too."
)

_EXPECTED = (StoreError, InputError, OSError)
"""What can be wrong with a call or the store, each with a sentence for its message."""


def mcp_server(db: StoreAddress, query_seconds: float) -> MCPServer[None]:
    """Make the server of a store.

    Args:
        db: the store.
        query_seconds: how long one query may take.
    """
    server = _Server(
        "spanverdict", instructions=_INSTRUCTIONS, version=version("spanverdict"), log_level="WARNING",
        subscriptions=False,
    )  # fmt: skip
    tools = Tools(db, query_seconds)
    for tool in (
        tools.what_regressed, tools.get_trace, tools.latest_report, tools.compare_reports, tools.list_reports,
        tools.list_promotions, tools.query, tools.list_tables, tools.describe, tools.list_saved_queries,
        tools.run_saved_query,
    ):  # fmt: skip
        server.add_tool(
            tool,
            title=tool.__name__.replace("_", " ").capitalize(),
            description=f"{inspect.getdoc(tool)}\n\n{WARNING}",
            annotations=ToolAnnotations(
                read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
            ),
            structured_output=False,
        )
    return server


class _Server(MCPServer[None]):
    """A server whose errors are one sentence each."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[None, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool; what is wrong with the call or the store is a result that says so."""
        tools = {tool.name: tool for tool in await self.list_tools()}
        if name not in tools:
            return _refused(f"There is no tool {name!r}; there are {', '.join(sorted(tools))}.")
        known = tools[name].input_schema.get("properties", {})
        if unknown := sorted(set(arguments) - set(known)):
            takes = f"it takes {', '.join(known)}" if known else "it takes nothing"
            return _refused(f"{name} does not take {', '.join(unknown)}; {takes}.")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                return _refused(_wrong_arguments(name, error.__cause__))
            if isinstance(error.__cause__, _EXPECTED):
                return _refused(str(error.__cause__))
            raise


def _wrong_arguments(tool: str, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{tool}: {first['loc'][0] if first['loc'] else 'arguments'}: {first['msg']}."


def _refused(text: str) -> CallToolResult:
    # It may quote what was stored.
    return CallToolResult(content=[TextContent(type="text", text=sentence(text))], is_error=True)
