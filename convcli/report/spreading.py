"""A transposed convolution as text: the kernel times each input, laid over the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convcli.report.sample_texts import (
    KERNEL,
    OUTSIDE,
    PLAIN,
    RESULT,
    TITLE,
    NumberColumns,
    by_axis,
    dilation_lines,
    list_text,
    longest_text,
    named_channels,
    rule_line,
    sample_text,
    sample_texts,
)
from convcli.report.words import visible
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from convcli.facts.explanation import CopyFacts, SpreadFacts, StageFacts
    from convcli.report.sample_texts import Line

# Copies of a kernel that need more columns than this are not laid over the outputs.
WIDEST_SPREAD = 100


def spread_lines(stage: StageFacts, spread: SpreadFacts, limit: int) -> Iterator[Line]:
    """Yield the rules, at most `limit` copies of the kernel (0 for all), and the outputs."""
    yield from _rules(stage, spread)
    yield []
    shown = spread.copies
    if limit:
        shown = shown[:limit]
    table = None
    if not stage.several and len(spread.stride) == 1:
        table = _SpreadTable(stage, spread)
    if table is not None and table.fits:
        yield from table.lines(shown)
    else:
        for copy in shown:
            yield from _copy_block(stage, spread, copy)
    hidden = len(spread.copies) - len(shown)
    if hidden:
        yield [(f"... and {plural(hidden, 'input')} more; --limit 0 shows all", OUTSIDE)]
    yield []
    outputs = named_channels(stage.channels_out, stage.outputs, several=stage.several)
    for channel, values in outputs:
        yield rule_line("gives", f"{channel}{list_text(values)}", RESULT)


def _rules(stage: StageFacts, spread: SpreadFacts) -> Iterator[Line]:
    text = "transposed convolution: every input spreads the kernel, and an output is the sum"
    yield [(visible(stage.text), TITLE), (f"  {text}", PLAIN)]
    inputs = named_channels(stage.channels_in, stage.inputs, several=stage.several)
    for channel, values in inputs:
        yield rule_line("takes", f"{channel}{list_text(values)}")
    if not stage.several:
        yield rule_line("kernel", list_text(spread.kernel), KERNEL)
    if spread.bias:
        biases = ", ".join(map(sample_text, spread.bias))
        yield rule_line("bias", f"{biases} is added to each output")
    if max(spread.stride) > 1:
        apart = by_axis(spread.stride)
        text = f"copies of the kernel lie {apart} outputs apart, as if zeros lay between the inputs"
        yield rule_line("stride", text)
    yield from dilation_lines(spread.dilation, "outputs")
    if any(first < at for first, at in zip(spread.first, spread.at, strict=True)):
        yield rule_line("padding", "what lies before the first output is cut off")


class _SpreadTable:
    """The copies of a kernel of one channel on one axis: a row each, a column for each output."""

    def __init__(self, stage: StageFacts, spread: SpreadFacts) -> None:
        self._stage = stage
        self._spread = spread
        self._low = min(spread.first[0], spread.at[0])
        copies_end = (len(stage.inputs) - 1) * spread.stride[0] + spread.first[0]
        outputs_end = spread.at[0] + len(stage.outputs)
        self._count = max(copies_end + len(spread.kernel), outputs_end) - self._low
        products = [text for copy in spread.copies for text in sample_texts(copy.products)]
        places = [f"({self._low})", f"({self._low + self._count})"]
        cells = [*products, *places, *sample_texts(stage.outputs), *sample_texts(spread.bias)]
        self._columns = NumberColumns(
            margin=2 + longest_text([_copy_name(copy) for copy in spread.copies]),
            width=2 + longest_text(cells),
        )

    @property
    def fits(self) -> bool:
        """Whether the table is narrow enough to be read."""
        return self._columns.margin + self._count * self._columns.width <= WIDEST_SPREAD

    def lines(self, shown: Sequence[CopyFacts]) -> Iterator[Line]:
        """Yield the index, a row for each copy, the bias and the outputs."""
        stage, spread, columns = self._stage, self._spread, self._columns
        first = spread.at[0]
        outputs = range(first, first + len(stage.outputs))
        indices = range(self._low, self._low + self._count)
        names = [str(index) if index in outputs else f"({index})" for index in indices]
        yield [columns.name("t"), *columns.cells(names, OUTSIDE)]
        for copy in shown:
            yield self._line(_copy_name(copy), copy.first[0], copy.products, KERNEL)
        if spread.bias:
            yield self._line("bias", first, spread.bias * len(stage.outputs), PLAIN)
        yield self._line("y", first, stage.outputs, RESULT)

    def _line(self, name: str, first: int, values: Sequence[float | None], style: str) -> Line:
        """Some values, the first of which belongs to the output `first`."""
        blank = " " * ((first - self._low) * self._columns.width)
        cells = self._columns.cells(sample_texts(values), style)
        return [self._columns.name(name), (blank, PLAIN), *cells]


def _copy_name(copy: CopyFacts) -> str:
    """`x[1] = 2`: an input that spreads the kernel."""
    return f"x[{','.join(map(str, copy.at))}] = {sample_text(copy.x)}"


def _copy_block(stage: StageFacts, spread: SpreadFacts, copy: CopyFacts) -> Iterator[Line]:
    """Yield kernel and products side by side, for each output channel and row of the kernel."""
    name = _copy_name(copy)
    if stage.several:
        name = f"{visible(stage.channels_in[copy.channel])} {name}"
    first = ",".join(map(str, copy.first))
    kernels, products = _kernels_of(stage, spread, copy), copy.products
    if not stage.several:
        products = (products,)
    for number, output in enumerate(copy.adds_to):
        of_channel = f" of {visible(stage.channels_out[output])}" if stage.several else ""
        lines = list(_product_lines(kernels[number], products[number]))
        lines[-1].append((f"   added from y[{first}]{of_channel} on", OUTSIDE))
        for place, line in enumerate(lines):
            title = "" if number or place else name
            yield [(f"{title:<{len(name)}}", PLAIN), *line]


def _product_lines(kernel: Any, products: Any) -> Iterator[Line]:
    """Yield a line for each row of a kernel: its weights, and their products."""
    weight_rows = [sample_texts(row) for row in _kernel_rows(kernel)]
    product_rows = [sample_texts(row) for row in _kernel_rows(products)]
    weight_columns = NumberColumns(0, 2 + max(map(longest_text, weight_rows)))
    product_columns = NumberColumns(0, 2 + max(map(longest_text, product_rows)))
    for weights, values in zip(weight_rows, product_rows, strict=True):
        cells = weight_columns.cells(weights, KERNEL)
        results = product_columns.cells(values, PLAIN)
        yield [("   *", OUTSIDE), *cells, ("   =", OUTSIDE), *results]


def _kernels_of(stage: StageFacts, spread: SpreadFacts, copy: CopyFacts) -> list[Any]:
    """The weights from the channel of an input to each output channel that it adds to."""
    if not stage.several:
        return [spread.kernel]
    number = copy.channel % len(spread.kernel[0])
    return [spread.kernel[output][number] for output in copy.adds_to]


def _kernel_rows(values: Any) -> Sequence[Any]:
    """The rows of a kernel, which is one row along one axis."""
    return values if isinstance(values[0], tuple) else (values,)
