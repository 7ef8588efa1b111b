"""The layers of a network: their text form, weights, operations and gradients."""
