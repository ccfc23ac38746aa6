"""Lasso-Cox fusion and the survival statistics that reviewers know."""
