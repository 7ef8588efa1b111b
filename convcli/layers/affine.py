"""The operation y = scale * x + shift, which the convolution before it can compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convcli.core.one_sample import OneSample
from convcli.core.op import LastKnown, Op, Span, none_known
from convcli.core.op_formula import NNArithmetic, OpFormula
from convcli.dataclass import dataclass
from convcli.layers.onnx.session_nodes import SessionNode, session_node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convcli.array_types import FloatArray
    from convcli.signals import Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(OneSample):
    """y = scale * x + shift, with a scale and a shift for each channel.

    scale, shift : (channels,)
    """

    scale: FloatArray
    shift: FloatArray

    @property
    def formula(self) -> OpFormula:
        """The arithmetic with the numbers of the channels."""
        scale, shift = tuple(self.scale.tolist()), tuple(self.shift.tolist())
        numbers = (("shift", shift), ("scale", scale))
        return OpFormula(delay=0.0, nn_call=NNArithmetic("({shift} + {x} * {scale})", numbers))

    @property
    def scale_and_shift(self) -> tuple[FloatArray, FloatArray]:
        """The operation is nothing but its scale and its shift."""
        return self.scale, self.shift

    def __call__(self, x: Array, span: Span, held: LastKnown = none_known) -> Array:
        """Multiply by the scale and add the shift of each channel."""
        y: Array = x * self.scale.astype(x.dtype)
        y += self.shift.astype(x.dtype)
        return y


@session_node.register(Affine)
def _session_node_of_affine(op: Affine) -> SessionNode:
    count = len(op.scale)
    return SessionNode(
        kind="BatchNormalization",
        attributes={"epsilon": 0.0},
        constants=(op.scale, op.shift, np.zeros(count), np.ones(count)),
    )


def folded_affine(ops: Iterable[Op]) -> tuple[Op, ...]:
    """The operations, in which each convolution also computes the affine map that follows it.

    This saves a pass over the samples, and changes nothing but the last bits.
    """
    folded, _ = folded_with_titles((op, "") for op in ops)
    return folded


def folded_with_titles(
    named: Iterable[tuple[Op, str]],
) -> tuple[tuple[Op, ...], tuple[str, ...]]:
    """The operations of `folded_affine`, and the titles of those that each one consists of."""
    found: list[Op] = []
    titles: list[str] = []
    for op, title in named:
        both = None
        if found and op.scale_and_shift is not None:
            both = found[-1].joined(op)
        if both is None:
            found.append(op)
            titles.append(title)
        else:
            found[-1] = both
            titles[-1] = " | ".join(filter(None, (titles[-1], title)))
    return tuple(found), tuple(titles)
