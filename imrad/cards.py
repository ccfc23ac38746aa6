"""Method cards: what each score, selector, classifier and metric is, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Card"]


@dataclass(frozen=True, slots=True)
class Card:
    """One method as `imrad methods` lists it and as the report's methods section cites it.

    Attributes
    ----------
    name : str
        The name used in settings and tables.
    kind : str
        Room and role, such as ``"selector"``, ``"classifier"``, ``"immune score"`` or ``"metric"``.
    summary : str
        One sentence: what it computes and by which definition.
    range : str
        The values it can take, such as ``"[0, 1]"`` or ``"real, higher is worse"``.
    unit : str
        Unit of the value; empty where it has none.
    reference : str
        DOI or citation of the published definition.
    """

    name: str
    kind: str
    summary: str
    range: str = ""
    unit: str = ""
    reference: str = ""
