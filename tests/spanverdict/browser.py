"""Headless Chromium over its own protocol: what a page does is seen, not guessed.

Protocol: https://chromedevtools.github.io/devtools-protocol/ (Target, Page, Runtime, Network, Log, Emulation, Input).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

SECONDS = 30.0
"""How long anything may take."""


def chromium() -> str:
    """The browser; without one the test is skipped."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or pytest.skip("there is no Chromium on this machine")


@dataclass
class Tab:
    """One tab, and what happened in it.

    Attributes:
        complaints: what the console and the browser's log say that is wrong.
        requested: the address of every request.
    """

    socket: aiohttp.ClientWebSocketResponse
    session: str
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    _number: int = 0
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        message = {"id": self._number, "method": method, "params": parameters, "sessionId": self.session}
        await self.socket.send_json(message)
        return await asyncio.wait_for(answer, SECONDS)

    async def listen(self) -> None:
        """Take what the browser says until it ends."""
        async for message in self.socket:
            said = message.json()
            if "id" in said:
                waiting = self._answers.pop(said["id"], None)
                if waiting and not waiting.done():
                    waiting.set_result(said.get("result", {"error": said.get("error")}))
            else:
                self._note(said.get("method"), said.get("params", {}))

    def _note(self, method: str | None, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(str(told["args"]))

    async def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self._loaded.clear()
        await self.call("Page.navigate", url=address)
        await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def click(self, selector: str) -> None:
        """Click on the first element of a selector as a person does, and wait for the page it leads to."""
        place = await self.run(
            f"(() => {{ const at = document.querySelector({selector!r}); at.scrollIntoView({{block: 'center'}}); "
            "const box = at.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        self._loaded.clear()
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
        await asyncio.wait_for(self._loaded.wait(), SECONDS)

    async def size(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Look through a window of another size or another scheme of colours."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))  # noqa: ASYNC240 (a test)


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    """A browser of its own with one tab.

    Args:
        folder: where it may keep its files.
    """
    process = subprocess.Popen(  # noqa: ASYNC220 (a test)
        [
            chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = folder / "DevToolsActivePort"
        async with asyncio.timeout(SECONDS):
            while not port.exists() or len(port.read_text().splitlines()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        number, path = port.read_text().splitlines()
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"ws://127.0.0.1:{number}{path}", max_msg_size=0) as socket,
        ):
            yield await _tab(socket)
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


async def _tab(socket: aiohttp.ClientWebSocketResponse) -> Tab:
    tab = Tab(socket, "")
    await socket.send_json({"id": -1, "method": "Target.createTarget", "params": {"url": "about:blank"}})
    target = await _answer(socket, -1)
    attach = {"targetId": target["targetId"], "flatten": True}
    await socket.send_json({"id": -2, "method": "Target.attachToTarget", "params": attach})
    tab.session = (await _answer(socket, -2))["sessionId"]
    tab.listening = asyncio.create_task(tab.listen())  # type: ignore[attr-defined]
    for domain in ("Page", "Runtime", "Network", "Log"):
        await tab.call(f"{domain}.enable")
    return tab


async def _answer(socket: aiohttp.ClientWebSocketResponse, number: int) -> dict[str, Any]:
    while True:
        said = await asyncio.wait_for(socket.receive_json(), SECONDS)
        if said.get("id") == number:
            result: dict[str, Any] = said["result"]
            return result
