"""Options as other programs have them, and what does the same here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# By command, then by names without their minus signs, split by blanks: the answer.
OPTIONS_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "audio": {
        "bits bit-depth bitdepth": "--subtype pcm_16 gives samples of 16 bits",
        "rate sample-rate samplerate sr": "a rate is a step of FILTER: `resample:44100`",
        "gain volume": "a gain is a step of FILTER: `gain:-3dB`",
        "normalize norm": "a level is a step of FILTER: `normalize:-1dB`",
        "channels mono": "channels are a step of FILTER: `mono`, or `mix:1;1`",
    },
    "learn": {
        "lr": "--learning-rate 0.003",
        "batch-size": "--batch 32",
        "num-epochs": "--epochs 25",
        "val-split validation-split validation": "--holdout is the part that is held out",
        "patience early-stopping": "training ends after 12 epochs without a gain, or --epochs",
        "loss criterion": "the mean squared error is made as small as possible; there is no other",
        "optimizer": "networks are trained by AdamW, with --learning-rate and --weight-decay",
        "device gpu cuda": "networks are trained on processors; --threads says on how many",
        "kernel-size": "--taps K is the length of a filter",
    },
}
# In every command that has the option that the answer names.
_IN_ALL: Mapping[str, tuple[str, str]] = {
    "overwrite clobber yes": ("--force", "--force replaces an output that exists"),
    "workers num-workers processes": ("--jobs", "--jobs N filters N inputs at once"),
}


def option_here(command: str, option: str, options: Iterable[str]) -> str | None:
    """What to write in place of an option of another program; None if it is not known.

    options : the spellings of those that the command has
    """
    name = option.lstrip("-").replace("_", "-").casefold()
    for names, answer in OPTIONS_ELSEWHERE.get(command, {}).items():
        if name in names.split():
            return answer
    for names, (needed, answer) in _IN_ALL.items():
        if name in names.split() and needed in options:
            return answer
    return None
