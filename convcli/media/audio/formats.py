"""Which sound formats there are, what each can hold, and the nearest one that holds what the input held."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from convcli.errors import RequestError, nearest

SUFFIXES = {
    ".wav": "WAV", ".wave": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".oga": "OGG", ".opus": "OPUS", ".mp3": "MP3",
    ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".w64": "W64",
    ".rf64": "RF64", ".voc": "VOC", ".avr": "AVR", ".sf": "IRCAM", ".paf": "PAF", ".pvf": "PVF", ".svx": "SVX",
    ".iff": "SVX", ".sph": "NIST", ".nist": "NIST", ".htk": "HTK", ".sds": "SDS", ".mat": "MAT5", ".raw": "RAW",
}  # fmt: skip
LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"})
FLOATS = {"FLOAT": 24, "DOUBLE": 53}
# Codings whose last step is finer than their name; everything not named here decodes to 16 bits.
_BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "DPCM_8": 8, "DWVW_12": 12, "PCM_24": 24, "DWVW_24": 24, "ALAC_20": 20, "ALAC_24": 24,
    "PCM_32": 32, "ALAC_32": 32,
}  # fmt: skip
# Names people use for a container together with its coding.
_PAIRS = {
    "OPUS": ("OGG", "OPUS"),
    "VORBIS": ("OGG", "VORBIS"),
    "AIF": ("AIFF", None),
    "WAVE": ("WAV", None),
}
# Sound Designer II keeps its header in the resource fork.
_NEEDS_TWO_FILES = frozenset({"SD2"})
# A .wav may be any of these; the input's own kind is kept.
_WAV_KINDS = frozenset({"WAV", "WAVEX", "RF64"})


@dataclass(frozen=True)
class Coding:
    """How samples are stored: container, coding, and what must be said about the choice."""

    format: str
    subtype: str
    note: str | None = None


def format_of(path: Path | str) -> str:
    """The format that a file name asks for. RequestError names the known suffixes."""
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    said = (
        f"unknown sound file suffix {suffix!r}"
        if suffix
        else "no suffix says which sound format is wanted"
    )
    raise RequestError(
        f"{Path(path).name}: {said}", hint=f"known: {' '.join(SUFFIXES)}; or name one with --format"
    )


def bits_of(subtype: str) -> int:
    """Bits of one sample that a coding keeps: 16 for lossy codecs, the mantissa for floats."""
    return FLOATS.get(subtype) or _BITS.get(subtype, 16)


def choose_coding(*, like: tuple[str, str], format: str | None, subtype: str | None) -> Coding:
    """The input's (format, subtype) `like` is kept where nothing else is asked and the container can hold it."""
    if subtype is None and (format is None or (format.upper() == "WAV" and like[0] in _WAV_KINDS)):
        return Coding(*like)
    import soundfile

    name, wanted = _known_format(format, like[0]), subtype.upper() if subtype else None
    container, coding = _PAIRS.get(name, (name, None))
    wanted = wanted or coding
    subtypes = list(soundfile.available_subtypes(container))
    if wanted is not None:
        if wanted not in subtypes:
            near = nearest(wanted, subtypes)
            hint = f"did you mean {near}? " if near else ""
            shown = "WAV" if container in _WAV_KINDS else container
            raise RequestError(
                f"{shown} has no subtype {wanted!r}",
                hint=f"{hint}{shown} takes {', '.join(subtypes)}",
            )
        return Coding(container, wanted)
    # A WAV can hold MP3, but nobody who asks for a WAV means that.
    if like[1] in subtypes and (like[1] not in LOSSY or like[0] == container):
        return Coding(container, like[1])
    chosen = _nearest_subtype(like[1], subtypes, soundfile.default_subtype(container))
    # Who asks for a format that has only lossy codings knows what it does.
    loses = chosen not in LOSSY and bits_of(chosen) < bits_of(like[1])
    return Coding(
        container,
        chosen,
        f"{container} cannot hold {like[1]}: written as {chosen}" if loses else None,
    )


def _known_format(asked: str | None, like: str) -> str:
    import soundfile

    if asked is None:
        return like
    name = asked.upper().lstrip(".")
    name = "WAV" if name == "WAVE" else name
    if name == "WAV" and like in _WAV_KINDS:
        return like
    known = [
        name for name in (*soundfile.available_formats(), *_PAIRS) if name not in _NEEDS_TWO_FILES
    ]
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean {near.lower()}? " if near else ""
        raise RequestError(
            f"unknown sound format {asked!r}",
            hint=f"{hint}known: {', '.join(sorted(known)).lower()}",
        )
    return name


def _nearest_subtype(subtype: str, subtypes: list[str], default: str) -> str:
    """The shallowest plain coding that loses nothing, else the deepest, else the container's own default."""
    bits, floating = bits_of(subtype), subtype in FLOATS
    plain = [s for s in subtypes if s in FLOATS or s.startswith(("PCM_", "ALAC_"))]
    enough = [s for s in plain if bits_of(s) >= bits]
    if enough:
        return min(enough, key=lambda s: ((s in FLOATS) != floating, bits_of(s)))
    return max(plain, key=bits_of) if plain else default
