"""Immune scores from expression and mutations, equal to the published programs."""
