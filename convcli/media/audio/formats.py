"""Formats of sound files, codings of their samples, and the choice of a coding for an output.

Formats and codings (`subtype`) have libsndfile's names. A new format is one entry in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.errors import RequestError, nearest
from convcli.media.audio.metadata.aiff import AiffContainer
from convcli.media.audio.metadata.au import AuContainer, MatContainer, VocContainer
from convcli.media.audio.metadata.caf import CafContainer
from convcli.media.audio.metadata.container import NAMES, Container
from convcli.media.audio.metadata.flac import FlacContainer
from convcli.media.audio.metadata.id3 import Mp3Container
from convcli.media.audio.metadata.ogg import OggContainer
from convcli.media.audio.metadata.riff import INFO_NAMES, WavContainer
from convcli.media.audio.metadata.w64 import Wave64Container

if TYPE_CHECKING:
    from convcli.places import Place

_PLAIN = Container()


@dataclass(frozen=True)
class SoundFormat:
    """A kind of sound file.

    suffixes : endings of file names · container : the place for metadata
    first_bytes : beginnings by which files without a suffix are recognised
    alias_of : format and coding, where the name is a common one for both together
    even : samples without a codec have equally many bytes, so that reading may begin at any
    longest : more bytes than its header can count; None where it can count enough
    """

    suffixes: tuple[str, ...] = ()
    container: Container = _PLAIN
    first_bytes: tuple[bytes, ...] = ()
    alias_of: tuple[str, str | None] | None = None
    even: bool = False
    longest: int | None = None


_WAV = WavContainer(tuple(INFO_NAMES.values()))
_MP3_TAGS = ("title", "artist", "comment", "date", "album", "tracknumber", "genre")
_AIFF_TAGS = ("title", "copyright", "software", "artist", "comment")
# Formats that libsndfile knows and this table does not are read and written without tags.
FORMATS = {
    "WAV": SoundFormat((".wav", ".wave"), _WAV),
    "WAVEX": SoundFormat((), _WAV),
    "FLAC": SoundFormat((".flac",), FlacContainer(), (b"fLaC",)),
    "OGG": SoundFormat((".ogg", ".oga"), OggContainer(), (b"OggS",)),
    "OPUS": SoundFormat((".opus",), alias_of=("OGG", "OPUS")),
    "VORBIS": SoundFormat(alias_of=("OGG", "VORBIS")),
    "MP3": SoundFormat((".mp3",), Mp3Container(_MP3_TAGS), (b"ID3", b"\xff\xfb", b"\xff\xf3")),
    "AIFF": SoundFormat(
        (".aif", ".aiff", ".aifc"),
        AiffContainer(_AIFF_TAGS),
        (b"FORM",),
        even=True,
        longest=1 << 32,
    ),
    "AIF": SoundFormat(alias_of=("AIFF", None)),
    "AU": SoundFormat((".au", ".snd"), AuContainer(), (b".snd", b"dns."), even=True),
    "CAF": SoundFormat((".caf",), CafContainer(NAMES), (b"caff",), even=True),
    "W64": SoundFormat((".w64",), Wave64Container(), even=True),
    "RF64": SoundFormat((".rf64",), _WAV),
    "VOC": SoundFormat((".voc",), VocContainer(), longest=1 << 24),
    "AVR": SoundFormat((".avr",)),
    "IRCAM": SoundFormat((".sf",)),
    "PAF": SoundFormat((".paf",)),
    "PVF": SoundFormat((".pvf",)),
    "SVX": SoundFormat((".svx", ".iff")),
    "NIST": SoundFormat((".sph", ".nist")),
    "HTK": SoundFormat((".htk",)),
    "MAT5": SoundFormat((".mat",), MatContainer()),
    "RAW": SoundFormat((".raw",)),
}
SUFFIXES = {suffix: name for name, form in FORMATS.items() for suffix in form.suffixes}
# A WAV is recognised by bytes 8 to 11.
FIRST_BYTES = tuple(first for form in FORMATS.values() for first in form.first_bytes)
# A .wav may be any of these; the input's own kind is kept.
WAV_KINDS = frozenset(name for name, form in FORMATS.items() if form.container is _WAV)
# Sony's Wave64, whose sizes have 64 bits.
WAVE_64 = "W64"
# Sound Designer II keeps its header in the resource fork. libsndfile's reader of MIDI sample dumps
# prints to standard output.
_LEFT_OUT = frozenset({"SD2", "SDS"})

MPEG = frozenset({"MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"})
LOSSY = frozenset({"VORBIS", "OPUS", *MPEG})
FLOATS = {"FLOAT": 24, "DOUBLE": 53}
# Codings whose last step is finer than their name; everything not named here decodes to 16 bits.
_BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "DPCM_8": 8, "DWVW_12": 12, "PCM_24": 24, "DWVW_24": 24,
    "ALAC_20": 20, "ALAC_24": 24, "PCM_32": 32, "ALAC_32": 32, **FLOATS,
}  # fmt: skip


@dataclass(frozen=True)
class Coding:
    """How samples are stored: container, coding, and a warning about the choice."""

    format: str
    subtype: str
    note: str | None = None


def is_even(format: str, subtype: str) -> bool:
    """Whether all samples have equally many bytes, so that reading may begin at any of them."""
    known = FORMATS.get(format)
    without_codec = subtype.startswith("PCM_") or subtype in FLOATS
    return known is not None and known.even and without_codec


def container_of(format: str) -> Container:
    """The place for metadata in files of a format."""
    return FORMATS[format].container if format in FORMATS else _PLAIN


def longest_of(format: str) -> int | None:
    """More bytes than a file of a format can hold, None if it can hold any number."""
    return FORMATS[format].longest if format in FORMATS else None


def sound_format(path: Place | str) -> str:
    """The format that a file name asks for. RequestError names the known suffixes."""
    place = Path(path) if isinstance(path, str) else path
    name, suffix = place.name, place.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    problem = "no suffix says which sound format is wanted"
    if suffix:
        problem = f"unknown sound file suffix {suffix!r}"
    known = " ".join(SUFFIXES)
    raise RequestError(f"{name}: {problem}", hint=f"known: {known}; or name one with --format")


def bits_of(subtype: str) -> int:
    """Bits of one sample that a coding keeps: 16 for lossy codecs, the mantissa for floats."""
    return _BITS.get(subtype, 16)


def exchange_type(subtype: str) -> str:
    """The number type in which libsndfile passes samples of a coding on without loss."""
    if subtype in FLOATS:
        return "float64"
    if subtype in LOSSY:
        return "float32"
    return "int16" if bits_of(subtype) <= 16 else "int32"


def is_format_of(asked: str, output: Place) -> bool:
    """Whether a file name may be that of the format that was asked for."""
    by_suffix = SUFFIXES.get(output.suffix.lower())
    name, _ = _known_format(asked, "")
    return by_suffix in {None, name} or {by_suffix, name} <= WAV_KINDS


def choose_coding(*, like: tuple[str, str], format: str | None, subtype: str | None) -> Coding:
    """Choose format and coding of an output.

    Where nothing is asked, those of the input, `like`, are kept if the container can hold them.
    Raises RequestError if there is no such format, or if it has no such coding.
    """
    keeps_wav = format is not None and format.upper() == "WAV" and like[0] in WAV_KINDS
    if subtype is None and (format is None or keeps_wav):
        return Coding(*like)
    import soundfile

    container, wanted = _known_format(format, like[0])
    if subtype:
        wanted = subtype.upper()
    subtypes = list(soundfile.available_subtypes(container))
    if wanted is not None:
        _check_subtype(wanted, container, subtypes)
        return Coding(container, wanted)
    # A WAV can hold MP3, but nobody who asks for a WAV means that.
    if like[1] in subtypes and (like[1] not in LOSSY or like[0] == container):
        return Coding(container, like[1])
    chosen = _nearest_subtype(like[1], subtypes, soundfile.default_subtype(container))
    note = None
    # A user who asks for a format that has only lossy codings knows that it loses bits.
    if chosen not in LOSSY and bits_of(chosen) < bits_of(like[1]):
        note = f"{container} cannot hold {like[1]}: written as {chosen}"
    return Coding(container, chosen, note)


def _known_format(asked: str | None, like: str) -> tuple[str, str | None]:
    """The format that the user names, else the input's; and the coding if the name says it."""
    import soundfile

    if asked is None:
        return like, None
    name = asked.upper().lstrip(".")
    if name == "WAVE":
        name = "WAV"
    if name == "WAV" and like in WAV_KINDS:
        return like, None
    aliases = {name: form.alias_of for name, form in FORMATS.items() if form.alias_of}
    if name in aliases:
        return aliases[name]
    formats = [name for name in soundfile.available_formats() if name not in _LEFT_OUT]
    if name not in formats:
        known = [*formats, *aliases, "WAVE"]
        listed = ", ".join(sorted(known)).lower()
        hint = _did_you_mean(nearest(name, known), lower=True) + f"known: {listed}"
        raise RequestError(f"unknown sound format {asked!r}", hint=hint)
    return name, None


def _did_you_mean(name: str | None, *, lower: bool = False) -> str:
    if name is None:
        return ""
    return f"did you mean {name.lower() if lower else name}? "


def _check_subtype(wanted: str, container: str, subtypes: list[str]) -> None:
    """Raise RequestError if a container has no such coding."""
    if wanted in subtypes:
        return
    shown = "WAV" if container in WAV_KINDS else container
    hint = _did_you_mean(nearest(wanted, subtypes)) + f"{shown} takes {', '.join(subtypes)}"
    raise RequestError(f"{shown} has no subtype {wanted!r}", hint=hint)


def _nearest_subtype(subtype: str, subtypes: list[str], default: str) -> str:
    """The shallowest uncompressed coding that loses nothing, else the deepest, else `default`."""
    bits, is_float = bits_of(subtype), subtype in FLOATS
    plain = [name for name in subtypes if name in FLOATS or name.startswith(("PCM_", "ALAC_"))]
    enough = [name for name in plain if bits_of(name) >= bits]

    def loss_of_kind_then_bits(name: str) -> tuple[bool, int]:
        changes_kind = (name in FLOATS) != is_float
        return changes_kind, bits_of(name)

    if enough:
        return min(enough, key=loss_of_kind_then_bits)
    return max(plain, key=bits_of, default=default)
