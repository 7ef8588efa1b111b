"""A convolution shown as it is computed, step by step."""
