"""Bare arrays in, bare arrays out: the operations and their geometry."""
