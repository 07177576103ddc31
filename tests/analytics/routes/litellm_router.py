"""Sends requests through LiteLLM's own router, made from a proxy configuration as the proxy does; a process of its own.

Standard input: {"config": path, "cases": [{"tags": [...], "times": n, "content": text}]}. Standard output: for each case,
answer → how often.
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


async def main() -> None:
    """Answer what standard input asks."""
    asked = json.load(sys.stdin)
    config = yaml.safe_load(Path(asked["config"]).read_text("utf-8"))
    router = Router(model_list=config["model_list"], **config["router_settings"])

    async def answer(case: dict[str, Any]) -> str:
        metadata = {} if case["tags"] is None else {"metadata": {"tags": list(case["tags"])}}
        messages = [{"role": "user", "content": case.get("content", "hello")}]
        try:
            response = await router.acompletion(model="refunds", messages=messages, **metadata)
        except Exception as error:  # noqa: BLE001 (what it is, is the answer)
            return type(error).__name__
        return str(response.choices[0].message.content)

    found = []
    for case in asked["cases"]:
        found.append(Counter(await asyncio.gather(*(answer(case) for _ in range(case["times"])))))
    await asyncio.sleep(0.5)  # Mirrored requests are on their way.
    json.dump(found, sys.stdout)


asyncio.run(main())
