"""Chinese for the fixed words of tables and figures; sentences with numbers carry their Chinese with them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import resources

from markupsafe import Markup, escape

__all__ = ["both", "chinese", "in_both", "in_chinese"]


def _lines() -> list[str]:
    text = resources.files("imrad.report").joinpath("templates", "chinese.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=1)
def _known() -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    exact, patterns = {}, []
    for line in _lines():
        english, _, words = line.partition(" = ")
        if "{" in english:
            # {} is a name or a number, {*} any text.
            parts = re.split(r"\{\*?\}", english)
            holes = [r"(.+)" if hole == "{*}" else r"(\S+)" for hole in re.findall(r"\{\*?\}", english)]
            pattern = "".join(re.escape(part) + hole for part, hole in zip(parts, [*holes, ""], strict=True))
            patterns.append((re.compile(pattern), words))
        else:
            exact[english] = words
    return exact, patterns


def chinese(text: str) -> str:
    """Return a fixed word, heading or caption in Chinese, or an empty string where there is none."""
    exact, patterns = _known()
    if text in exact:
        return exact[text]
    for pattern, words in patterns:
        found = pattern.fullmatch(text)
        if found:
            return words.format(*found.groups())
    return ""


def both(text: object) -> Markup:
    """Return a word in both languages for the page to choose from; the word itself where it has no Chinese."""
    words = chinese(str(text))
    if not words or words == str(text):
        return escape(text)
    return Markup('<span lang="en">{}</span><span lang="zh">{}</span>').format(text, words)


def in_both(svg: str) -> str:
    """Return a drawing whose fixed words are there in both languages."""
    return _translated(svg, lambda en, zh: f'<tspan lang="en">{en}</tspan><tspan lang="zh">{zh}</tspan>')


def in_chinese(svg: str) -> str:
    """Return a drawing whose fixed words are Chinese."""
    return _translated(svg, lambda en, zh: zh)


def _translated(svg: str, put: Callable[[str, str], str]) -> str:
    def change(found: re.Match[str]) -> str:
        english = found[2].strip()
        words = chinese(html.unescape(english))
        return f"{found[1]}{put(english, html.escape(words))}{found[3]}" if words else found[0]

    return re.sub(r"(<text\b[^>]*>)([^<]*)(</text>)", change, svg)
