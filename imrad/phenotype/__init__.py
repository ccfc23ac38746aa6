"""Targets, selectors, classifiers and the leak-free grid over them."""
