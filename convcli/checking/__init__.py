"""Checks of a filter: whether it looks ahead."""
