"""`convcli.detect` of Python: it looks for a pattern in arrays, and returns facts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convcli.detecting.detect import Detection, nothing_found
from convcli.detecting.templates import load_template, prepare_template
from convcli.running.arrays import source_of
from convcli.running.blas_threads import one_blas_thread
from convcli.running.python_arguments import (
    check_number,
    check_threads,
    check_whole,
    errors_in_python,
    read_rate,
)

if TYPE_CHECKING:
    from convcli.facts.detection import DetectionFacts, Hit


@errors_in_python
@one_blas_thread()
def detect_arrays(
    template: Any,
    x: Any,
    *,
    threshold: float = 0.7,
    top: int | None = None,
    overlap: float = 0.0,
    rate: float | str | None = None,
    axes: int | None = None,
    threads: int | None = None,
) -> DetectionFacts:
    """Find every place in `x` where `template` fits, best first.

    template, x : arrays, Series or DataFrames, as `convcli.apply` takes them
    threshold : the lowest normalised cross-correlation of a place, above 0 and at most 1
    top : the largest number of places; None for all
    overlap : the largest part of a place that a better place may cover, 0 to 1
    rate, axes, threads : as in `convcli.apply`

    Returns facts: `hits`, empty if nothing was found, and `best_score`. A hit has a `score`, and
    `start` and `end`, so that x[start:end] is the place, or with two sample axes `x`, `y`, `width`
    and `height`. Raises `RequestError` where template and signal cannot be compared.

    >>> import numpy as np
    >>> x = np.array([0.0, 0, 1, 3, 1, 0, 0, 2, 6, 2, 0])
    >>> [(hit["start"], hit["score"]) for hit in detect_arrays([1.0, 3, 1], x, threshold=0.99).hits]
    [(2, 1.0), (7, 1.0)]
    """
    check_number("threshold", threshold, above=0, most=1)
    check_number("overlap", overlap, least=0, most=1)
    if top is not None:
        check_whole("top", top, least=1)
    check_threads(threads)
    pattern = load_template("template", source_of(template, rate=read_rate(rate), axes=axes))
    source = source_of(x, rate=read_rate(rate), axes=axes)
    detection = Detection(
        templates=[pattern], threshold=threshold, overlap=overlap, top=top, threads=threads
    )
    for _ in detection.search(source, [prepare_template(pattern, source.signal)], name="x"):
        pass
    if detection.larger:
        raise nothing_found(detection.found())
    facts = detection.facts()
    return replace(facts, hits=tuple(map(_as_slice, facts.hits)))


def _as_slice(hit: Hit) -> Hit:
    """The hit with rows counted from 1 turned into the ends of a slice."""
    if "start" not in hit:
        return hit
    return {**hit, "start": int(hit["start"]) - 1}
