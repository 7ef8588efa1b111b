"""Sums of float64 numbers that are rounded only once."""
