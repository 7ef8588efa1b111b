"""The medium of pictures: its defaults, and its words in messages."""

from __future__ import annotations

from convcli.signals import Medium

IMAGE = Medium(
    name="image",
    edge="edge",
    align="center",
    taps="9x9",
    sample="pixel",
    channel="channel",
    thing="a picture",
    things="pictures",
    length_help="a number of pixels (12 or 12px)",
    length_units=("px",),
    model_units="0 ... 1",
    channel_names=(("grey",), ("R", "G", "B")),
    one_channel_hint="--channels luma",
    unit_scale=True,
)
