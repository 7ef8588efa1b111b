"""A look at what a filter does: does it read later samples, and how does it compute each output?

`look_ahead` tells what the plan says, `causality` tries it on data; `explain` shows every product
and sum on a small signal, `equivalents` the same as a matrix and in PyTorch.
"""
