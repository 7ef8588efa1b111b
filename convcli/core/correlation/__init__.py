"""Correlation of two signals, of a signal with a template, and least squares from its sums."""
