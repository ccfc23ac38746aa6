"""A small language for regions: ``tumour = 2|3; ring(tumour, 5 mm) & kidney``.

::

    program    = statement (";" statement)*          the last one is the region
    statement  = [name "="] region
    region     = part (("|" | "-") part)*            union, difference
    part       = item ("&" item)*                    intersection
    item       = number | name | "quoted name" | scheme:code | function | "(" region ")"
    function   = name "(" region ("," quantity)* ")"
    quantity   = number ["mm" | "ml"]

Numbers are label values or segment numbers; names are definitions made before, segment labels or
coded meanings; ``SCT:108369006`` is a code. Functions: ``grow(r, mm)``, ``shrink(r, mm)``,
``ring(r, outside mm[, inside mm])``, ``largest(r[, n])``, ``parts(r, at least ml)``, ``fill(r)``, and,
outermost only, ``each(r)`` for one row per connected part. Nothing is evaluated as Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrad.exceptions import ConfigError, RegionError
from imrad.radiomics.geometry import Box, Grid, Mask, bounding_box

__all__ = ["Roi", "in_order", "no_such_segment", "parse_roi", "plain_name", "split_parts", "used_names"]

_TOKEN = re.compile(
    r"\s*(?:(?P<code>[A-Za-z][\w-]*:[A-Za-z0-9.-]+)|(?P<number>\d+(?:\.\d+)?)|(?P<name>[^\W\d]\w*)"
    r"|(?P<string>\"[^\"]*\"|'[^']*')|(?P<sign>[|&()=,;-]))"
)
_MAX_LENGTH, _MAX_DEPTH = 1000, 40
_FUNCTIONS = {"grow": (1, 1, "mm"), "shrink": (1, 1, "mm"), "ring": (1, 2, "mm"), "largest": (0, 1, ""),
              "parts": (1, 1, "ml"), "fill": (0, 0, ""), "each": (0, 0, "")}  # fmt: skip

Node = tuple[Any, ...]
Lookup = Callable[[str], Mask]


@dataclass(frozen=True)
class Roi:
    """A parsed region expression.

    Attributes
    ----------
    text : str
        As it was written.
    each : bool
        Whether every connected part is a region of its own.
    """

    text: str
    each: bool
    tree: Node
    definitions: Mapping[str, Node]

    def evaluate(self, lookup: Lookup, grid: Grid) -> Mask:
        """Return the region on `grid`; `lookup` gives the mask of a segment by number, name or code."""
        return _Evaluation(lookup, grid, self.definitions).run(self.tree)


def parse_roi(text: str, definitions: Mapping[str, str] | None = None) -> Roi:
    """Read a region expression.

    Parameters
    ----------
    text : str
        The expression; see the module's docstring.
    definitions : mapping of str to str, optional
        Names that may be used in it, each an expression.

    Raises
    ------
    ConfigError
        Naming the place that cannot be read.
    """
    known: dict[str, Node] = {}
    for name, body in (definitions or {}).items():
        known[plain_name(name)] = _Parser(body).program(known)
    tree = _Parser(text).program(known)
    each = tree[0] == "call" and tree[1] == "each"
    if each:
        tree = tree[2]
    _refuse_each(tree, text)
    for node in known.values():
        _refuse_each(node, text)
    return Roi(text, each, tree, known)


def used_names(text: str) -> set[str]:
    """Return the plain names that an expression uses, its own definitions included."""
    parsed = parse_roi(text)
    return _names(parsed.tree).union(*(_names(tree) for tree in parsed.definitions.values()))


def in_order(expressions: Mapping[str, str]) -> dict[str, str]:
    """Return named expressions so that each stands after those that it uses.

    Raises
    ------
    ConfigError
        If one cannot be read, or some are defined by one another.
    """
    uses = {plain_name(name): used_names(text) for name, text in expressions.items()}
    left, ordered = dict(expressions), dict[str, str]()
    while left:
        waiting = {plain_name(name) for name in left}
        ready = [name for name in left if not (uses[plain_name(name)] - {plain_name(name)}) & waiting]
        if not ready:
            message = f"the regions {', '.join(left)} are defined by one another; define one of them by a label"
            raise ConfigError(message)
        ordered[ready[0]] = left.pop(ready[0])
    return ordered


def plain_name(name: str) -> str:
    """Return a name without case, spacing and the two spellings of tumour."""
    return re.sub(r"[\s_-]+", " ", name.strip()).casefold().replace("tumour", "tumor")


def _refuse_each(tree: Node, text: str) -> None:
    if tree[0] == "call":
        if tree[1] == "each":
            message = f"region '{text}': each(...) can only stand outermost"
            raise ConfigError(message)
        _refuse_each(tree[2], text)
    elif tree[0] in "|&-":
        _refuse_each(tree[1], text)
        _refuse_each(tree[2], text)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        if len(text) > _MAX_LENGTH:
            message = f"a region expression has {len(text)} characters where at most {_MAX_LENGTH} are allowed"
            raise ConfigError(message)
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None:
                self.fail(f"'{text[place:].strip()[:10]}' is not understood")
            else:
                kind = match.lastgroup or ""
                self.tokens.append((kind, match.group(kind)))
                place = match.end()

    def fail(self, what: str) -> None:
        message = f"region '{self.text}': {what}; write for example tumour = 2|3; ring(tumour, 5 mm)"
        raise ConfigError(message)

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("end", "the end")

    def take(self, value: str | None = None) -> tuple[str, str]:
        token = self.peek()
        if value is not None and token[1] != value:
            self.fail(f"'{value}' was expected where {token[1]} stands")
        self.at += 1
        return token

    def program(self, known: dict[str, Node]) -> Node:
        tree: Node | None = None
        while self.peek()[0] != "end":
            if self.peek()[0] in ("name", "string") and self.peek(1)[1] == "=":
                name = plain_name(self.take()[1].strip("\"'"))
                self.take("=")
                tree = self.region()
                if name in _names(tree):
                    self.fail(f"'{name}' is defined by itself")
                known[name] = tree
            else:
                tree = self.region()
            if self.peek()[0] != "end":
                self.take(";")
        if tree is None:
            self.fail("it is empty")
        return tree or ()

    def region(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"it is nested more than {_MAX_DEPTH} deep")
        tree = self.part()
        while self.peek()[1] in ("|", "-"):
            sign = self.take()[1]
            tree = (sign, tree, self.part())
        self.depth -= 1
        return tree

    def part(self) -> Node:
        tree = self.item()
        while self.peek()[1] == "&":
            self.take()
            tree = ("&", tree, self.item())
        return tree

    def item(self) -> Node:
        kind, value = self.take()
        if value == "(" and kind == "sign":
            tree = self.region()
            self.take(")")
            return tree
        if kind == "name" and self.peek() == ("sign", "("):
            return self.call(value)
        if kind == "number":
            if "." in value:
                self.fail(f"label {value} is not a whole number")
            return ("segment", str(int(value)))
        if kind == "string":
            return ("segment", value[1:-1])
        if kind in ("name", "code"):
            return ("segment", value)
        self.fail(f"a region was expected where {value} stands")
        return ()

    def call(self, name: str) -> Node:
        if name not in _FUNCTIONS:
            self.fail(f"there is no function '{name}', only {', '.join(sorted(_FUNCTIONS))}")
        least, most, unit = _FUNCTIONS[name]
        self.take("(")
        tree = self.region()
        numbers = []
        while self.peek()[1] == ",":
            self.take()
            kind, value = self.take()
            if kind != "number":
                self.fail(f"a number was expected where {value} stands")
            if self.peek()[0] == "name":
                given = self.take()[1]
                if given != unit:
                    self.fail(
                        f"{name} takes {'millimetres (mm)' if unit == 'mm' else unit or 'a plain number'}, not {given}"
                    )
            numbers.append(float(value))
        self.take(")")
        if not least <= len(numbers) <= most:
            self.fail(f"{name} takes {least} to {most} numbers, not {len(numbers)}")
        return ("call", name, tree, tuple(numbers))


def _names(tree: Node) -> set[str]:
    if tree[0] == "segment":
        return {plain_name(tree[1])}
    if tree[0] == "call":
        return _names(tree[2])
    return _names(tree[1]) | _names(tree[2])


class _Evaluation:
    def __init__(self, lookup: Lookup, grid: Grid, definitions: Mapping[str, Node]) -> None:
        self.lookup, self.grid, self.definitions = lookup, grid, definitions
        self.known: dict[str, Mask] = {}

    def run(self, tree: Node) -> Mask:
        if tree[0] == "segment":
            return self.segment(tree[1])
        if tree[0] == "call":
            return self.call(tree[1], self.run(tree[2]), tree[3])
        left, right = self.run(tree[1]), self.run(tree[2])
        if tree[0] == "|":
            return left | right
        return left & right if tree[0] == "&" else left & ~right

    def segment(self, name: str) -> Mask:
        key = plain_name(name)
        if key not in self.known:
            # A definition hides a segment of the same name, except inside itself (refused when parsed).
            self.known[key] = self.run(self.definitions[key]) if key in self.definitions else self.lookup(name)
        return self.known[key]

    def call(self, name: str, region: Mask, numbers: tuple[float, ...]) -> Mask:
        if name == "grow":
            return _within(region, self.grid, numbers[0])
        if name == "shrink":
            return region & ~_within(region, self.grid, numbers[0], inwards=True)
        if name == "ring":
            shell = _within(region, self.grid, numbers[0]) & ~region
            inside = numbers[1] if len(numbers) > 1 else 0.0
            return shell | (region & _within(region, self.grid, inside, inwards=True)) if inside > 0 else shell
        if name == "largest":
            kept = split_parts(region)[: int(numbers[0]) if numbers else 1]
            return np.logical_or.reduce(kept) if kept else region
        if name == "parts":
            kept = [part for part in split_parts(region) if np.count_nonzero(part) * self.grid.voxel_ml >= numbers[0]]
            return np.logical_or.reduce(kept) if kept else np.zeros_like(region)
        return _on_box(region, 1, _fill)


def _on_box(region: Mask, pad: int | tuple[int, int, int], act: Callable[[Mask], Mask]) -> Mask:
    """Apply `act` to the region's box, widened by `pad` voxels (z, y, x) inside the image."""
    box = bounding_box(region)
    if box is None:
        return region
    widths = (pad, pad, pad) if isinstance(pad, int) else pad
    wide = tuple(
        slice(max(low - width, 0), min(high + width, n))
        for (low, high), width, n in zip(box, widths, region.shape, strict=True)
    )
    result = np.zeros_like(region)
    result[wide] = act(region[wide])
    return result


def _within(region: Mask, grid: Grid, distance_mm: float, *, inwards: bool = False) -> Mask:
    """Return the voxels whose centre lies within a distance of the region's (or, inwards, of the outside's) centres.

    What lies beyond the image's border counts as neither region nor outside.
    """
    from scipy.ndimage import distance_transform_edt

    pad = tuple(int(np.ceil(distance_mm / step)) + 1 for step in grid.sampling_mm)

    def near(part: Mask) -> Mask:
        if inwards and part.all():
            return np.zeros_like(part)
        distance = distance_transform_edt(part if inwards else ~part, sampling=grid.sampling_mm)
        close: Mask = distance <= distance_mm * (1 + 1e-9)
        return close

    return _on_box(region, (pad[0], pad[1], pad[2]), near)


def _fill(part: Mask) -> Mask:
    from scipy.ndimage import binary_fill_holes

    filled: Mask = binary_fill_holes(part)
    return filled


def split_parts(region: Mask) -> list[Mask]:
    """Return the connected parts (26 neighbours), largest first, then by position."""
    from scipy.ndimage import find_objects, label

    box = bounding_box(region)
    if box is None:
        return []
    inner: Box = box
    crop = region[tuple(slice(*ends) for ends in inner)]
    numbered, n = label(crop, structure=np.ones((3, 3, 3)))
    counts: NDArray[np.int64] = np.bincount(numbered.ravel(), minlength=n + 1)[1:]
    places = find_objects(numbered)
    parts = []
    for number in np.argsort(-counts, kind="stable"):
        part = np.zeros_like(region)
        where = tuple(
            slice(low + place.start, low + place.stop) for (low, _), place in zip(inner, places[number], strict=True)
        )
        part[where] = numbered[places[number]] == number + 1
        parts.append(part)
    return parts


def no_such_segment(name: str, offers: list[str], path: object) -> RegionError:
    """Return the error for a segment that is not there, listing those that are."""
    listed = ", ".join(offers[:12]) + (f" and {len(offers) - 12} more" if len(offers) > 12 else "")
    message = f"{path} has no segment '{name}'; it has {listed or 'none'}"
    return RegionError(message)
