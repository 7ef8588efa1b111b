"""The medium of sound: its defaults, and its words in messages."""

from __future__ import annotations

from convcli.signals import Medium

AUDIO = Medium(
    name="audio",
    edge="zero",
    align="center",
    taps="64",
    sample="sample",
    channel="channel",
    thing="sound",
    things="sounds",
    length_help="a number of samples (20); durations need a rate",
    model_units="-1 ... 1",
    channel_names=(("mono",), ("left", "right")),
    in_seconds=True,
    resamples=True,
    comes_live=True,
)
