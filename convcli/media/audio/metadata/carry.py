"""Which metadata of the input goes into the output, and what is lost.

Metadata that count samples are moved with what is cut off or resampled. Their layouts: cue, plst,
smpl and adtl of RIFF (Microsoft, IBM 1991 and 1994), bext (EBU Tech 3285), cart (AES46), iXML
(gallery.co.uk/ixml), CUESHEET of FLAC (RFC 9639, section 8.7), MARK of AIFF (Apple 1991), mark of
CAF (Apple 2006).
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import field
from typing import TYPE_CHECKING

from convcli.dataclass import dataclass
from convcli.media.audio.formats import WAV_KINDS, WAVE_64, container_of
from convcli.media.audio.metadata.caf import info_entries
from convcli.media.audio.metadata.channel_masks import (
    LAYOUT,
    commented_mask,
    layout_of,
    with_mask,
    without_mask,
)
from convcli.media.audio.metadata.comments import (
    COMMENTS,
    COMMON_COMMENTS,
    join_comments,
    split_comments,
)
from convcli.media.audio.metadata.container import Chunk
from convcli.media.audio.metadata.id3 import id3_frame_names
from convcli.media.audio.metadata.riff import INFO_NAMES, info_items
from convcli.media.audio.wav import SUBFORMAT
from convcli.speakers import is_usual, usual_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from convcli.media.audio.reader import AudioDetails


# What these hold are common tags, however the target stores them.
_COMMON_CHUNKS = frozenset({b"ID3v1", b"NAME", b"AUTH", b"(c) ", b"ANNO"})
_LOUDNESS_TAGS = re.compile(
    rb"(?i:replaygain_(?:track|album)_(?:gain|peak)|r128_(?:track|album)_gain)"
)
# Formats, besides WAV, that can say which speakers the channels are for, and those in which the
# number of channels says it.
_TELL_SPEAKERS = frozenset({"FLAC", "CAF", WAVE_64})
_HAVE_USUAL_SPEAKERS = frozenset({"OGG"})
# Chunks with an entry for each channel of the input: the tracks of the audio definition model
# (ITU-R BS.2088), and the channel layout of an AIFF.
_OF_EACH_CHANNEL = frozenset({b"chna", b"CHAN"})
_COMMON_FRAMES = frozenset(b"TIT2 TPE1 TALB TDRC TYER TRCK TCON COMM TCOP TSSE TENC".split())


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The metadata of the input that the output will hold.

    chunks : chunks that are written unchanged
    tags : tags that libsndfile writes
    lost : names of metadata that the output cannot hold
    measured : names of metadata that hold the loudness of the input
    """

    chunks: tuple[Chunk, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """The number of channels of the output, and the mask of their speakers."""

    channels: int
    mask: int


def carry_metadata(
    details: AudioDetails, target: str, shift: Shift, speakers: Speakers
) -> Metadata:
    """Choose the metadata for an output in the format `target`, with positions moved by `shift`."""
    chunks, lost = _moved_chunks(details, shift)
    if speakers.channels != details.channels:
        lost += [_shown(chunk) for chunk in chunks if chunk.name in _OF_EACH_CHANNEL]
        chunks = [chunk for chunk in chunks if chunk.name not in _OF_EACH_CHANNEL]
    container = container_of(target)
    same_kind = details.format == target or {details.format, target} <= WAV_KINDS
    if same_kind:
        carried, replaces_tags = tuple(chunks), True
    else:
        carried = container.convert(details.tags, tuple(chunks))
        replaces_tags = container.chunks_replace_tags
    tags: Mapping[str, str] = {}
    if not (carried and replaces_tags):
        tags = container.tags_of_libsndfile(details.tags)
    if not same_kind:
        if not any(chunk.is_id3 for chunk in carried):
            lost += _lost_tags(details.tags, container.own_tags.union(tags))
        for chunk in chunks:
            if chunk not in carried:
                lost += _beyond_common(chunk, carried)
    lost += _lost_about_channels(details, target, speakers)
    carried = _with_speakers(carried, details, target, speakers)
    measured = [name for chunk in carried for name in _loudness_in(chunk)]
    return Metadata(chunks=carried, tags=tags, lost=_unique(lost), measured=_unique(measured))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Names in their order, each once."""
    return tuple(dict.fromkeys(names))


def _moved_chunks(details: AudioDetails, shift: Shift) -> tuple[list[Chunk], list[str]]:
    """The metadata without the mask of the speakers, and the names of what is damaged."""
    chunks, damaged = [], []
    for chunk in details.chunks:
        if chunk.name == LAYOUT:
            continue
        try:
            chunks.append(without_mask(moved(chunk, shift)))
        except ValueError:
            damaged.append(_shown(chunk))
    return chunks, damaged


def _with_speakers(
    chunks: tuple[Chunk, ...], details: AudioDetails, target: str, speakers: Speakers
) -> tuple[Chunk, ...]:
    """The chunks of a FLAC or CAF, which say the speakers unless the number of channels does."""
    mask, channels = speakers.mask, speakers.channels
    layouts = _kept_layouts(details, speakers)
    if target == "CAF" and layouts:
        return (*chunks, *layouts)
    if mask == 0:
        return chunks
    is_other = mask != usual_mask(channels)
    if target == "CAF" and (is_other or channels > 2):
        return (*chunks, layout_of(mask))
    was_told = bool(layouts) or commented_mask(details.chunks) is not None
    if target == "FLAC" and (is_other or was_told):
        return with_mask(chunks, mask)
    return chunks


def _kept_layouts(details: AudioDetails, speakers: Speakers) -> list[Chunk]:
    """The layout of a CAF, if the output has the same channels."""
    if speakers.channels != details.channels:
        return []
    return [chunk for chunk in details.chunks if chunk.name == LAYOUT]


def _lost_about_channels(details: AudioDetails, target: str, speakers: Speakers) -> list[str]:
    """What a file of the format `target` cannot say of the channels."""
    lost = []
    is_ambisonic = details.kind_end not in (None, SUBFORMAT)
    same_channels = details.channels == speakers.channels
    if is_ambisonic and same_channels and target not in WAV_KINDS:
        lost.append("kind of samples (ambisonic)")
    has_other_order = speakers.mask == 0 and bool(_kept_layouts(details, speakers))
    if (has_other_order and target != "CAF") or _loses_mask(target, speakers):
        lost.append("speaker positions")
    return lost


def _loses_mask(target: str, speakers: Speakers) -> bool:
    """Whether the output has a mask that its format does not hold."""
    mask, channels = speakers.mask, speakers.channels
    if mask == 0 or target in WAV_KINDS or target in _TELL_SPEAKERS:
        return False
    if not is_usual(mask, channels):
        return True
    return channels > 2 and target not in _HAVE_USUAL_SPEAKERS


def _loudness_in(chunk: Chunk) -> list[str]:
    """The names of tags that hold the loudness of the sound, in any kind of metadata."""
    if chunk.name == b"bext":
        version = int.from_bytes(chunk.body[_BEXT_VERSION], "little")
        if version < _BEXT_WITH_LOUDNESS or chunk.body[_BEXT_LOUDNESS] in _BEXT_UNMEASURED:
            return []
        return ["bext loudness"]
    # Texts of ID3 may have two bytes for a letter.
    found = _LOUDNESS_TAGS.findall(chunk.body.replace(b"\0", b""))
    return [_text(name).upper() for name in found]


def _lost_tags(tags: Mapping[str, str], kept: frozenset[str]) -> list[str]:
    # The name of the program that wrote the input is not a loss.
    return [name for name, text in tags.items() if text and name not in {*kept, "software"}]


def _beyond_common(chunk: Chunk, carried: tuple[Chunk, ...]) -> list[str]:
    """Name what a chunk that is not carried holds besides common tags."""
    if chunk.is_id3:
        if any(other.body == chunk.body for other in carried):
            return []
        names = id3_frame_names(chunk.body)
        return [_text(name) for name in names if name not in _COMMON_FRAMES]
    if chunk.name in _COMMON_CHUNKS:
        return []
    if chunk.full_name == b"LIST INFO":
        return [_text(item.name) for item in info_items(chunk) if item.name not in INFO_NAMES]
    keys = _keys(chunk)
    if keys is None:
        return [_shown(chunk)]
    return [key for key in keys if key.lower() not in COMMON_COMMENTS]


def _keys(chunk: Chunk) -> list[str] | None:
    """The keys of a chunk that holds keys and texts, None of another one."""
    if chunk.name == b"info":
        return [key for key, _ in info_entries(chunk.body)]
    if chunk.name == COMMENTS:
        _, comments = split_comments(chunk.body)
        keys = [comment.partition(b"=")[0] for comment in comments]
        return [_text(key) for key in keys]
    return None


def _shown(chunk: Chunk) -> str:
    return _text(chunk.full_name).strip()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


# ---------------------------------------------------------------------- metadata that count samples


# Where a broadcast extension holds its time of day in samples, its version, and five measures of
# its loudness.
_BEXT_TIME = slice(338, 346)
_BEXT_VERSION, _BEXT_LOUDNESS = slice(346, 348), slice(412, 422)
_BEXT_WITH_LOUDNESS = 2
# A measure that was not taken is 0x7FFF (EBU Tech 3285), or 0 where a program leaves it empty.
_BEXT_UNMEASURED = (bytes(10), b"\xff\x7f" * 5)
_CUE_BYTES, _SEGMENT_BYTES, _LOOP_BYTES, _SAMPLER_BYTES = 24, 12, 24, 36
_SHEET_BYTES, _TRACK_BYTES, _INDEX_BYTES = 396, 36, 12
_IS_CD = 0x80
_MARKER_BYTES = 28
# Where a broadcast cart has its timers, each of four letters and a number of samples.
_FIRST_TIMER, _TIMER_BYTES, _TIMERS = 684, 8, 8
# Comments by which games repeat a part of a sound: numbers of samples.
_LOOP_COMMENT = re.compile(rb"(?i:LOOP_?(?P<kind>START|END|LENGTH))=(?P<number>\d{1,19})")
# Elements of iXML: the upper and lower 32 bits of times of day in samples, and rates in Hz.
_XML_TIMES = (
    (b"TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", b"TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO"),
    (b"BWF_TIME_REFERENCE_HIGH", b"BWF_TIME_REFERENCE_LOW"),
)
_XML_RATES = (b"FILE_SAMPLE_RATE", b"TIMESTAMP_SAMPLE_RATE")


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How positions in the input become positions in the output.

    skipped : samples of the input before the first one of the output
    ratio : samples of the output for one of the input
    rate : of the output
    frames : of the output, None if it is not known
    """

    rate: int
    skipped: float = 0.0
    ratio: float = 1.0
    frames: int | None = None

    @property
    def is_none(self) -> bool:
        """Whether every position stays what it is."""
        return self.skipped == 0 and self.ratio == 1

    def position(self, sample: float, *, last: int = 0) -> int:
        """The position of a sample, within the output.

        last : how far before the end the last position is
        """
        nearest = math.floor((sample - self.skipped) * self.ratio + 0.5)
        moved = max(0, nearest)
        if self.frames is not None:
            moved = min(moved, max(0, self.frames - last))
        return min(moved, 0xFFFFFFFF)

    def length(self, samples: int) -> int:
        """Scale a number of samples to the rate of the output, at most 0xFFFFFFFF."""
        return min(round(samples * self.ratio), 0xFFFFFFFF)

    def time_of_day(self, samples: int) -> int:
        """The time of the first sample of the output, from that of the input, both in samples."""
        nearest = round((samples + self.skipped) * self.ratio)
        return min(max(0, nearest), 2**64 - 1)


def moved(chunk: Chunk, shift: Shift) -> Chunk:
    """The chunk with its positions moved. ValueError if it is damaged."""
    move = _MOVES.get(chunk.full_name)
    if move is None or shift.is_none:
        return chunk
    body = bytearray(chunk.body)
    try:
        move(body, shift)
    except struct.error as error:
        raise ValueError("it is cut off") from error
    return Chunk(chunk.name, bytes(body))


def _move_bext(body: bytearray, shift: Shift) -> None:
    if len(body) < _BEXT_TIME.stop:
        return
    time = int.from_bytes(body[_BEXT_TIME], "little")
    body[_BEXT_TIME] = shift.time_of_day(time).to_bytes(8, "little")


def _move_ixml(body: bytearray, shift: Shift) -> None:
    for high_name, low_name in _XML_TIMES:
        high = _xml_number(high_name).search(body)
        low = _xml_number(low_name).search(body)
        if low is None:
            continue
        time = int(low["number"])
        if high is not None:
            time += int(high["number"]) << 32
        later = shift.time_of_day(time)
        _write_xml_number(body, high_name, later >> 32)
        _write_xml_number(body, low_name, later & 0xFFFFFFFF)
    if shift.ratio != 1:
        for name in _XML_RATES:
            _write_xml_number(body, name, shift.rate)


def _xml_number(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"<" + name + rb">\s*(?P<number>\d{1,20})\s*</" + name + rb">")


def _write_xml_number(body: bytearray, name: bytes, number: int) -> None:
    """Replace the number of an element, where it is one."""
    element = b"<%b>%d</%b>" % (name, number, name)
    body[:] = _xml_number(name).sub(element, body)


def _move_cart(body: bytearray, shift: Shift) -> None:
    for place in range(_FIRST_TIMER, _FIRST_TIMER + _TIMERS * _TIMER_BYTES, _TIMER_BYTES):
        usage, sample = struct.unpack_from("<4sI", body, place)
        if usage.strip(b"\0 "):
            struct.pack_into("<I", body, place + 4, shift.position(sample))


def _move_comments(body: bytearray, shift: Shift) -> None:
    vendor, comments = split_comments(bytes(body))
    body[:] = join_comments(vendor, [_moved_loop(comment, shift) for comment in comments])


def _moved_loop(comment: bytes, shift: Shift) -> bytes:
    """A comment about a loop with its number moved; any other one as it is."""
    found = _LOOP_COMMENT.fullmatch(comment)
    if found is None:
        return comment
    number = int(found["number"])
    is_length = found["kind"].upper() == b"LENGTH"
    later = shift.length(number) if is_length else shift.position(number)
    return comment[: found.start("number")] + b"%d" % later


def _move_cue(body: bytearray, shift: Shift) -> None:
    (count,) = struct.unpack_from("<I", body)
    for place in range(4, 4 + _bytes_of_entries(body, 4, count, _CUE_BYTES), _CUE_BYTES):
        for number in (place + 4, place + 20):
            (sample,) = struct.unpack_from("<I", body, number)
            struct.pack_into("<I", body, number, shift.position(sample))


def _move_playlist(body: bytearray, shift: Shift) -> None:
    (count,) = struct.unpack_from("<I", body)
    for place in range(4, 4 + _bytes_of_entries(body, 4, count, _SEGMENT_BYTES), _SEGMENT_BYTES):
        (samples,) = struct.unpack_from("<I", body, place + 4)
        struct.pack_into("<I", body, place + 4, shift.length(samples))


def _move_sampler(body: bytearray, shift: Shift) -> None:
    (count,) = struct.unpack_from("<I", body, 28)
    if shift.ratio != 1:
        nanoseconds = min(round(1e9 / shift.rate), 0xFFFFFFFF)
        struct.pack_into("<I", body, 8, nanoseconds)
    stop = _SAMPLER_BYTES + _bytes_of_entries(body, _SAMPLER_BYTES, count, _LOOP_BYTES)
    for place in range(_SAMPLER_BYTES, stop, _LOOP_BYTES):
        start, end = struct.unpack_from("<II", body, place + 8)
        first = shift.position(start, last=1)
        # The end of a loop is the last sample that is played. The one after it keeps the length.
        after = shift.position(end + 1)
        struct.pack_into("<II", body, place + 8, first, max(first, after - 1))


def _move_labels(body: bytearray, shift: Shift) -> None:
    place = 4
    while place + 8 <= len(body):
        size = int.from_bytes(body[place + 4 : place + 8], "little")
        if body[place : place + 4] == b"ltxt":
            (samples,) = struct.unpack_from("<I", body, place + 12)
            struct.pack_into("<I", body, place + 12, shift.length(samples))
        place += 8 + size + (size & 1)


def _move_sheet(body: bytearray, shift: Shift) -> None:
    (is_cd,) = struct.unpack_from("B", body, 136)
    # On a CD positions are multiples of 588 samples.
    struct.pack_into("B", body, 136, is_cd & ~_IS_CD)
    (tracks,) = struct.unpack_from("B", body, _SHEET_BYTES - 1)
    place = _SHEET_BYTES
    for _ in range(tracks):
        (start,) = struct.unpack_from(">Q", body, place)
        struct.pack_into(">Q", body, place, shift.position(start))
        (indices,) = struct.unpack_from("B", body, place + _TRACK_BYTES - 1)
        place += _TRACK_BYTES
        for _ in range(indices):
            (samples,) = struct.unpack_from(">Q", body, place)
            struct.pack_into(">Q", body, place, shift.length(samples))
            place += _INDEX_BYTES


def _move_aiff_markers(body: bytearray, shift: Shift) -> None:
    (count,) = struct.unpack_from(">H", body)
    place = 2
    for _ in range(count):
        (sample,) = struct.unpack_from(">I", body, place + 2)
        struct.pack_into(">I", body, place + 2, shift.position(sample))
        (letters,) = struct.unpack_from("B", body, place + 6)
        place += 6 + letters + 1 + (letters + 1 & 1)


def _move_caf_markers(body: bytearray, shift: Shift) -> None:
    (count,) = struct.unpack_from(">I", body, 4)
    for place in range(8, 8 + _bytes_of_entries(body, 8, count, _MARKER_BYTES), _MARKER_BYTES):
        (sample,) = struct.unpack_from(">d", body, place + 4)
        if 0 <= sample < 1 << 53:
            struct.pack_into(">d", body, place + 4, float(shift.position(sample)))


def _bytes_of_entries(body: bytearray, start: int, count: int, size: int) -> int:
    """The bytes of `count` entries. ValueError if there are fewer."""
    if start + count * size > len(body):
        raise ValueError(f"it counts {count} entries, which are not there")
    return count * size


_MOVES: dict[bytes, Callable[[bytearray, Shift], None]] = {
    b"bext": _move_bext,
    b"iXML": _move_ixml,
    b"cart": _move_cart,
    COMMENTS: _move_comments,
    b"cue ": _move_cue,
    b"plst": _move_playlist,
    b"smpl": _move_sampler,
    b"LIST adtl": _move_labels,
    b"CUESHEET": _move_sheet,
    b"MARK": _move_aiff_markers,
    b"mark": _move_caf_markers,
}
