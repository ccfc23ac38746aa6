"""Reporting and quality checklists, filled from what the run did; what it cannot know is unknown."""

from imrad.report.checklists.filling import Filled, fill
from imrad.report.checklists.items import CLEAR, METRICS, RQS, TRIPOD_AI, Item

__all__ = ["CLEAR", "METRICS", "RQS", "TRIPOD_AI", "Filled", "Item", "fill"]
