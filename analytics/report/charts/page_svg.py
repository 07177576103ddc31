"""Matplotlib's SVG made fit to stand many times in one page: no ids, no links, no styles of its own, short numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from xml.etree import ElementTree as ET

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DECIMAL = re.compile(r"-?\d+\.\d+")
# A line through one place alone, which shows nothing: its mark is drawn apart.
_POINT = re.compile(r"\s*M\s+\S+\s+\S+\s*")
# What an element may keep: the rest are names and references, which would meet those of the page's other charts.
_KEPT = ("d", "x", "y", "transform")
# What the page decides, and what is so anyway.
_DROPPED = {"font-family", "font", "font-size-adjust"}
_USUAL = {("stroke-linejoin", "miter"), ("stroke-linecap", "butt"), ("stroke-width", "1"), ("opacity", "1")}


def page_svg(drawn: ET.Element, colours: Mapping[str, str], texts: Mapping[str, str]) -> str:
    """Rewrite a drawing.

    Args:
        drawn: matplotlib's ``svg`` element.
        colours: colour of the drawing → colour of the page.
        texts: text of the drawing → text of the page, not escaped.

    Returns:
        The elements inside, as HTML takes them.
    """
    shapes = {shape.get("id"): shape for shape in drawn.iter(f"{_SVG}path") if shape.get("id")}
    return "".join(_Writer(shapes, colours, texts).elements(drawn))


class _Writer:
    def __init__(
        self, shapes: Mapping[str | None, ET.Element], colours: Mapping[str, str], texts: Mapping[str, str]
    ) -> None:
        self._shapes = shapes
        self._colours = colours
        self._texts = texts

    def elements(self, parent: ET.Element) -> Iterator[str]:
        for element in parent:
            tag = element.tag.removeprefix(_SVG)
            if tag == "g":
                yield from self.elements(element)
            elif tag == "use":
                yield self._used(element)
            elif tag == "path" and not _POINT.fullmatch(element.get("d", "")):
                yield f"<path{self._attributes(element, element.get('style', ''))}/>"
            elif tag == "text":
                said = escape(self._texts[element.text or ""])
                yield f"<text{self._attributes(element, element.get('style', ''))}>{said}</text>"

    def _used(self, element: ET.Element) -> str:
        shape = self._shapes[element.get(_LINK, "").removeprefix("#")]
        place = f"translate({_short(element.get('x', '0'))} {_short(element.get('y', '0'))})"
        copy = ET.Element("path", {"d": shape.get("d", ""), "transform": place})
        return f"<path{self._attributes(copy, ';'.join(each.get('style', '') for each in (shape, element)))}/>"

    def _attributes(self, element: ET.Element, style: str) -> str:
        kept = {name: " ".join(_short(element.get(name, "")).split()) for name in _KEPT if element.get(name)}
        if kept.get("transform", "").startswith("rotate(-0 "):
            del kept["transform"]
        kept |= {"style": self._style(style)} if style else {}
        return "".join(f' {name}="{escape(value)}"' for name, value in kept.items() if value)

    def _style(self, style: str) -> str:
        said = {}
        for part in filter(None, map(str.strip, style.split(";"))):
            name, value = map(str.strip, part.split(":", 1))
            said[name] = value
        return ";".join(
            f"{name}:{self._colours.get(value, _short(value))}"
            for name, value in said.items()
            if name not in _DROPPED and (name, value) not in _USUAL
        )


def _short(text: str) -> str:
    return _DECIMAL.sub(lambda number: f"{round(float(number[0]), 1) + 0.0:g}", text)
