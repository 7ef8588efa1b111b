"""Corrections of sound files with wrong headers, with which libsndfile reads all that is there."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

from convcli.dataclass import dataclass
from convcli.errors import InputError
from convcli.losses import Loss
from convcli.media.audio import wav
from convcli.media.audio.declared_length import caf_samples
from convcli.media.audio.flac_frames import (
    FlacFrame,
    StreamInfo,
    frame_at,
    frames_in,
    is_whole_frame,
)
from convcli.media.audio.metadata import ogg
from convcli.media.audio.metadata.caf import UNTIL_END
from convcli.media.audio.metadata.flac import flac_blocks
from convcli.media.audio.mp3_frames import (
    LARGEST_FRAME_BYTES,
    Mp3Start,
    counted_frames,
    frames_from,
    mp3_start,
)
from convcli.media.audio.voc import others_in_voc, sound_block, true_voc_size
from convcli.sndfile import WatchedFile
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAIL_BYTES = 1 << 16
_CAF_SIZE_BYTES = 8
_ID3V1_BYTES = 128
# All frames of a FLAC file up to this size are looked at, of a larger one if its ends do not agree.
_SCANNED_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class HeaderRepair:
    """The corrections with which libsndfile reads a file.

    patches : places in the file, and the bytes that replace those there
    length : the corrected length of the file; None if it is unchanged
    frames : the number of frames that hold sound, if libsndfile counts more
    left_out_bytes : bytes of the file that hold other sound
    note : a message to the user
    loss : a message about samples that are left out, an error if the user is strict
    """

    patches: tuple[tuple[int, bytes], ...] = ()
    length: int | None = None
    frames: int | None = None
    left_out_bytes: int = 0
    note: str | None = None
    loss: str | None = None


class RepairedFile(WatchedFile):
    """A file as libsndfile reads it, with its corrections."""

    def __init__(self, file: BinaryIO, repair: HeaderRepair) -> None:
        super().__init__(file)
        self._repair = repair
        self._place = file.tell()

    def readinto(self, space: Any) -> int:
        """Read into a buffer, with the patches."""
        view = memoryview(space).cast("B")
        start = self._place
        super().seek(start)
        done = super().readinto(view)
        length = self._repair.length
        if length is not None:
            stop = min(len(view), max(0, length - start))
            if stop > done:
                view[done:stop] = bytes(stop - done)
            done = stop
        for place, patch in self._repair.patches:
            low, high = max(place, start), min(place + len(patch), start + done)
            if low < high:
                view[low - start : high - start] = patch[low - place : high - place]
        self._place = start + done
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the file as libsndfile sees it."""
        base = {os.SEEK_CUR: self._place, os.SEEK_END: self._end()}.get(whence, 0)
        self._place = max(0, base + offset)
        return self._place

    def _end(self) -> int:
        if self._repair.length is not None:
            return self._repair.length
        return super().seek(0, os.SEEK_END)

    def tell(self) -> int:
        """Position in the file, in bytes from its start."""
        return self._place


def repair_for(file: BinaryIO, prefix: bytes) -> HeaderRepair | None:
    """What must be repaired in a file that begins with `prefix`, None if nothing is known."""
    try:
        if wav.is_wav(prefix):
            return _repair_of_adpcm(file)
        if prefix.startswith(b"OggS"):
            return _skipped_later_streams(file)
        if prefix.startswith(b"Crea"):
            return _repair_of_voc(file)
        if prefix.startswith(b"caff"):
            return _repair_of_caf(file)
        start = mp3_start(file)
        return _repair_of_flac(file) if start is None else _repair_of_mp3(file, start)
    except (ValueError, InputError):  # libsndfile says what is wrong
        return None


def _skipped_later_streams(file: BinaryIO) -> HeaderRepair | None:
    """Say how much of an Ogg file comes after its first stream, which alone is read."""
    later = ogg.later_streams(file)
    if later is None:
        return None
    loss = f"holds several streams: the {later.frames} frames after the first one are left out"
    return HeaderRepair(loss=loss, left_out_bytes=later.size)


def _repair_of_mp3(file: BinaryIO, start: Mp3Start) -> HeaderRepair | None:
    """Count the frames of an MP3 that no tag counts, or whose tag counts those of its first part.

    libsndfile reads no more than a tag counts, or than it estimates by the first bit rate.
    """
    tag = start.tag
    if tag is None or tag.frames is None:
        return _repair_of_uncounted_mp3(file, start)
    length = file.seek(0, os.SEEK_END)
    if tag.stop is not None:
        is_all = next(frames_from(file, tag.stop), None) is None
        if is_all or tag.stop > length:
            return None
    frames = counted_frames(file, start).frames
    if frames <= tag.frames:
        return None
    each = start.frame.samples / start.frame.rate
    note = f"its header counts {tag.frames * each:.6g} s, {frames * each:.6g} s are there"
    return HeaderRepair(patches=((tag.count_place, frames.to_bytes(4, "big")),), note=note)


def _repair_of_uncounted_mp3(file: BinaryIO, start: Mp3Start) -> HeaderRepair:
    """Make libsndfile estimate more frames than there are, by a longer file, and count them."""
    count = counted_frames(file, start)
    stretched = (count.frames + 1) * LARGEST_FRAME_BYTES
    length = start.sound_place + count.size + stretched + _ID3V1_BYTES
    patches: tuple[tuple[int, bytes], ...] = ()
    stop = _length_without_tag(file)
    file.seek(stop)
    tag = file.read()
    if tag:
        patches = ((stop, bytes(len(tag))), (length - len(tag), tag))
    cut = "is truncated: its last frame is not complete" if count.is_cut else None
    frames = count.frames * start.frame.samples
    return HeaderRepair(patches=patches, length=length, frames=frames, loss=cut)


# ------------------------------------------------------------------------- VOC and CAF


def _repair_of_voc(file: BinaryIO) -> HeaderRepair | None:
    """End a VOC right behind its only block of sound, up to where libsndfile reads samples."""
    block = sound_block(file)
    length = file.seek(0, os.SEEK_END)
    if block is None or block.stop > length:
        return None
    patches = [(block.stop, b"\0")]
    true_size = true_voc_size(file)
    if true_size is not None:
        patches = [true_size]
    end = block.stop if true_size is not None else block.stop + 1
    others = others_in_voc(file)
    if true_size is None and not others and end == length:
        return None
    note = None
    if others:
        note = Loss(f"{plural(others, 'block')} of text, markers or loops cannot be kept")
    return HeaderRepair(patches=tuple(patches), length=end, note=note)


def _repair_of_caf(file: BinaryIO) -> HeaderRepair | None:
    """Set the size of the samples to what is there, if it is larger or not known.

    libsndfile loses some or all of them otherwise.
    """
    samples = caf_samples(file)
    length = file.seek(0, os.SEEK_END)
    if samples is None:
        return None
    start, promised = samples
    if promised != UNTIL_END and start + promised <= length:
        return None
    size = (length - start).to_bytes(_CAF_SIZE_BYTES, "big")
    return HeaderRepair(patches=((start - _CAF_SIZE_BYTES, size),))


# ------------------------------------------------------------------------------------ FLAC


@dataclass(frozen=True)
class _FlacParts:
    """The file header of a FLAC file and where things are in the file.

    facts : place of the facts in the header · start, stop : of the audio frames
    first, last : frames; None where there is no valid one
    """

    info: StreamInfo
    facts: int
    start: int
    stop: int
    first: FlacFrame | None
    last: FlacFrame | None


def _flac_parts(file: BinaryIO) -> _FlacParts:
    """Read the ends of a FLAC file. ValueError for another file."""
    blocks = flac_blocks(file)
    kind, body = next(blocks)
    facts = file.tell() - len(body) + 10
    for _ in blocks:
        pass
    start = file.tell()
    if kind != 0:
        raise ValueError("STREAMINFO does not come first")
    info = StreamInfo.from_bytes(body)
    first = frame_at(file.read(32), 0, info)
    stop = _length_without_tag(file)
    return _FlacParts(info, facts, start, stop, first, _last_frame(file, start, stop, info))


def _repair_of_flac(file: BinaryIO) -> HeaderRepair | None:
    """Correct a header that contradicts the first and the last frame."""
    parts = _flac_parts(file)
    info, first, last = parts.info, parts.first, parts.last
    if first is None:
        return None
    true = replace(info, layout=first.layout)
    note = loss = None
    if first.layout != info.layout:
        note = f"its header says {info.layout}, its samples are {first.layout}"
    last_stop = 0 if last is None else last.stop
    if last_stop != info.frames or parts.stop - parts.start < _SCANNED_BYTES:
        frames = list(_all_frames(file, parts.start, true))
        counted = sum(frame.size for frame in frames)
        if any(frame.layout != first.layout for frame in frames):
            true, loss = _cut_at_change(frames, true)
        elif 0 < info.frames < counted:
            true = replace(true, frames=counted)
            note = f"its header counts {info.frames} frames, {counted} are there"
    if true == info and loss is None and info.frames > 0:
        return None
    patch = (parts.facts, true.facts())
    return HeaderRepair(patches=(patch,), length=parts.stop, note=note, loss=loss)


def has_flac_frames(file: BinaryIO) -> bool:
    """Whether bytes follow the header of a FLAC file. ValueError if it has none."""
    for _ in flac_blocks(file):
        pass
    return file.tell() < _length_without_tag(file)


def _length_without_tag(file: BinaryIO) -> int:
    """The length of a file without the ID3v1 tag that libsndfile takes for damaged samples."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _ID3V1_BYTES))
    return size - _ID3V1_BYTES if file.read(3) == b"TAG" else size


def _last_frame(file: BinaryIO, start: int, stop: int, info: StreamInfo) -> FlacFrame | None:
    """The frame that ends at `stop`."""
    begin = max(start, stop - _TAIL_BYTES)
    file.seek(begin)
    tail = file.read(max(0, stop - begin))
    for frame in reversed(list(frames_in(tail, info))):
        if is_whole_frame(tail[frame.place :]):
            return frame
    return None


def _all_frames(file: BinaryIO, start: int, info: StreamInfo) -> Iterator[FlacFrame]:
    """Every frame of the file, without bytes that look like a header but fit no neighbour."""
    file.seek(start)
    found = list(frames_in(file.read(), info))
    for before, frame in pairwise([None, *found]):
        follows = before is None or frame is None or frame.start in (before.stop, 0)
        if frame is not None and (follows or frame.layout == info.layout):
            yield frame


def flac_frames_left(file: BinaryIO, read: int) -> int:
    """Count the frames behind those that libsndfile has read, with the file where it left it.

    read : how many frames it has read
    """
    place = file.tell()
    parts = _flac_parts(file)
    if place >= parts.stop:
        return 0
    # The end of what was read lies in the last piece that libsndfile has asked for.
    file.seek(max(parts.start, place - _TAIL_BYTES))
    is_left = False
    left = 0
    for frame in frames_in(file.read(), parts.info):
        if is_left:
            left += frame.size
        is_left = is_left or frame.stop >= read
    return left


def _cut_at_change(frames: list[FlacFrame], info: StreamInfo) -> tuple[StreamInfo, str]:
    """End a file where its layout changes, and say what is left out."""
    kept = left_out = 0
    changed = None
    for frame in frames:
        if changed is None and frame.layout == info.layout:
            kept += frame.size
        else:
            changed = changed or frame
            left_out += frame.size
    layout = changed.layout if changed else info.layout
    seconds = kept / max(1, info.layout.rate)
    loss = (
        f"changes from {info.layout} to {layout} at {seconds:.6g} s: "
        f"the {left_out} frames from there on are left out"
    )
    return replace(info, frames=kept), loss


# ------------------------------------------------------------------------------------ ADPCM

# Bytes of a block's header for each channel, and the frames that it holds; then frames, by bytes
# of each channel, that are stored together.
_ADPCM_BLOCKS = {2: (7, 2, 0.5), 0x11: (4, 1, 4)}


def _repair_of_adpcm(file: BinaryIO) -> HeaderRepair | None:
    """Complete the last block of ADPCM samples, which libsndfile leaves out otherwise."""
    file.seek(0)
    header = wav.read_header(file, name="")
    start = file.tell()
    present = file.seek(0, os.SEEK_END) - start
    if header.codec not in _ADPCM_BLOCKS or header.block_bytes <= 0:
        return None
    promised = present if header.data_bytes is None else header.data_bytes
    there = min(present, promised)
    whole, rest = divmod(there, header.block_bytes)
    each = _adpcm_frames(header, header.block_bytes)
    more = _adpcm_frames(header, rest)
    if rest == 0 or more == 0:
        return None
    size = (whole + 1) * header.block_bytes
    zeros = (start + there, bytes(size - there))
    sizes = (start - 4, size.to_bytes(4, "little")), (4, (start + size - 8).to_bytes(4, "little"))
    frames = whole * each + more
    return HeaderRepair(patches=(zeros, *sizes), length=start + size, frames=frames)


def _adpcm_frames(header: wav.WavHeader, size: int) -> int:
    """How many frames are in the first `size` bytes of a block."""
    head, first, step = _ADPCM_BLOCKS[header.codec]
    rest = size - head * header.channels
    if rest < 0:
        return 0
    pieces = int(rest / (step * header.channels))
    return first + (pieces if step < 1 else 8 * pieces)
