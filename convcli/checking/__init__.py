"""Checks of a filter: whether it reads later samples, and how it computes each output.

`look_ahead` reports what the plan says, `causality` tries it on data; `explain` shows every product
and sum on a small signal, `equivalents` the same as a matrix and in PyTorch.
"""
