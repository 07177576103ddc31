"""Sends requests through LiteLLM's own router, made from a proxy configuration as the proxy does; a process of its own.

Standard input: {"config": path, "cases": [{"tags": [...], "times": n, "content": text}]}. Standard output: for each
case, answer → how often.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from litellm import Router


async def main(config: dict[str, Any], cases: list[dict[str, Any]]) -> None:
    """Answer the cases."""
    router = Router(model_list=config["model_list"], **config["router_settings"])

    async def answer(case: dict[str, Any]) -> str:
        metadata = {} if case["tags"] is None else {"metadata": {"tags": list(case["tags"])}}
        messages = [{"role": "user", "content": case.get("content", "hello")}]
        try:
            response = await router.acompletion(model="refunds", messages=messages, **metadata)
        except Exception as error:  # noqa: BLE001 (what it is, is the answer)
            return type(error).__name__
        return str(response.choices[0].message.content)

    found = [Counter(await asyncio.gather(*(answer(case) for _ in range(case["times"])))) for case in cases]
    await asyncio.sleep(0.5)  # Mirrored requests are on their way.
    json.dump(found, sys.stdout)


ASKED = json.load(sys.stdin)
asyncio.run(main(yaml.safe_load(Path(ASKED["config"]).read_text("utf-8")), ASKED["cases"]))
