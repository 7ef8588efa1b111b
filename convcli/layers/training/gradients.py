"""Networks that learn: batches of windows forward, and the exact gradients of a loss backward.

A window goes through the same operations as a signal when the network runs, each of them "valid",
so that what is learned is what runs. Windows lie inside the signal, where no layer pads. The
gradients come from reverse accumulation (Rumelhart, Hinton & Williams 1986). What each kind of
layer does is in its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convcli.layers.training.trained import BatchShape, Vector, span_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convcli.array_types import Sizes
    from convcli.layers.training.layer_stack import LayerStack, PlacedLayer
    from convcli.layers.training.trained import BatchLayer
    from convcli.signals import Array


class Worker:
    """Computes a network and its gradients on mini-batches of one size.

    Call `forward` for the outputs, then `backward` for the gradient of the loss.

    net : the network; batch : windows at a time; outputs : samples on each axis that a window has
        at the end
    """

    def __init__(self, net: LayerStack, batch: int, outputs: Sizes, dtype: Any) -> None:
        self.net = net
        self.batch = batch
        self.outputs = outputs
        places = net.laid_out(outputs)
        self.x = np.zeros((batch, *span_lengths(places[0].given), net.channels), dtype)
        self.layers = self._batch_layers(places, dtype)
        self.dy = np.zeros((batch, *span_lengths(places[-1].made), net.outputs), dtype)
        self.gradient: Vector = np.zeros(net.parameters)
        # More outputs may be computed than are wanted.
        self._wanted = (slice(None), *(slice(0, n) for n in outputs))

    def _batch_layers(self, places: Sequence[PlacedLayer], dtype: Any) -> list[BatchLayer]:
        """What computes each layer, with the arrays for batches of this size."""
        found = []
        channels = self.net.channels
        learns_first = True
        shared = True  # the first layer gets the windows themselves
        for place in places:
            arrays = BatchShape(
                size=self.batch,
                given=span_lengths(place.given),
                made=span_lengths(place.made),
                first=tuple(low for low, _ in place.made),
                channels=channels,
                dtype=dtype,
                learns_first=learns_first,
                shared=shared,
            )
            found.append(place.layer.for_batches(arrays))
            shared = place.layer.reads_its_outputs
            channels = place.layer.output_channels(channels)
            learns_first = learns_first and not place.layer.parameters
        return found

    def load(self, numbers: Vector) -> None:
        """Give every layer its weights out of one vector of all parameters."""
        for layer, views in zip(self.layers, self.net.views(numbers), strict=True):
            layer.load(views)

    def forward(self) -> Array:
        """Return the outputs for the windows in `x`, (batch, outputs..., channels)."""
        y: Array = self.x
        for layer in self.layers:
            y = layer.forward(y)
        return y[self._wanted]

    @property
    def output_gradient(self) -> Array:
        """The gradient with respect to the outputs, to be written before `backward`."""
        return self.dy[self._wanted]

    def backward(self) -> Vector:
        """Return the gradient of the loss by all weights, in the order of `LayerStack.tensors`."""
        gradients = self.net.views(self.gradient)
        dy: Array | None = self.dy
        for layer, views in zip(reversed(self.layers), reversed(gradients), strict=True):
            if dy is None:
                break
            layer.learn(dy, views)
            dy = layer.backward(dy)
        return self.gradient
