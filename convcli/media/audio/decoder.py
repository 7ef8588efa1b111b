"""Sound that libsndfile does not read: M4A, AAC, WebM and the sound of videos, decoded by FFmpeg.

FFmpeg comes with the optional package `av` (PyAV). Such files are read and not written.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convcli.errors import InputError
from convcli.losses import Loss
from convcli.media.audio.formats import bits_of, container_of
from convcli.media.audio.reader import NOTHING_THERE, AudioDetails, AudioSource, reading
from convcli.speakers import named_mask
from convcli.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convcli.array_types import AnyArray


DECODED_SUFFIXES = frozenset(
    {".m4a", ".m4b", ".aac", ".webm", ".mka", ".mp4", ".m4v", ".mov", ".mkv", ".avi", ".wma"}
)
INSTALL = "pip install 'convcli[av]' installs what decodes it"
_ISO_MEDIA, _MATROSKA, _ASF = b"ftyp", b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75"
# Brands of files of the same family that hold pictures.
_PICTURES = frozenset({b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1"})
# Codings that keep every bit, by the beginning of their names, and the coding of a WAV for them.
_LOSSLESS = {
    "alac": "PCM_24",
    "flac": "PCM_24",
    "tta": "PCM_24",
    "wavpack": "PCM_24",
    "pcm_s24": "PCM_24",
    "pcm_s32": "DOUBLE",
    "pcm_f32": "FLOAT",
    "pcm_f64": "DOUBLE",
}
_TAGS = ("title", "copyright", "artist", "comment", "date", "album", "genre")
_OTHER_NAMES = {"track": "tracknumber"}
# Frames by which the length in the header may be wrong, as codecs add samples at both ends.
_INEXACT = 4096
# Formats of FFmpeg without a header, whose length it estimates from the bit rate.
_ESTIMATED = frozenset({"aac"})


def is_decoded(prefix: bytes) -> bool:
    """Whether a file that begins with these 12 bytes is read here."""
    if prefix[4:8] == _ISO_MEDIA:
        return prefix[8:12] not in _PICTURES
    if prefix.startswith((_MATROSKA, _ASF)):
        return True
    if prefix.startswith(b"RIFF") and prefix[8:12] == b"AVI ":
        return True
    if len(prefix) < 2:
        return False
    # AAC without a container: a sync word as in MP3, and layer 0.
    has_layer_0 = prefix[1] & 0xF6 == 0xF0
    return prefix[0] == 0xFF and has_layer_0


class _Track:
    """The first sound track of a container, decoded packet by packet.

    damaged : packets that cannot be decoded
    """

    def __init__(self, container: Any) -> None:
        self.stream = container.streams.audio[0]
        self.damaged = 0
        self._container = container
        self._end = 0.0

    def frames(self) -> Iterator[Any]:
        """Decode the packets of the track; those that cannot be decoded are counted.

        av.FFmpegError if not one can be.
        """
        import av

        decoded = False
        for packet in self._container.demux():
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self._end = max(self._end, float(end))
            if packet.stream.index != self.stream.index:
                continue
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                self.damaged += 1
                continue
            decoded = decoded or bool(frames)
            yield from frames
        if self.damaged and not decoded:
            raise av.InvalidDataError(0, "not one packet of sound is whole")

    def padding(self, total: int) -> int:
        """How many of all frames only fill up the last packet, where the header counts frames."""
        stream = self.stream
        if stream.duration is None or stream.time_base * stream.rate != 1:
            return 0
        excess = total - int(stream.duration)
        return excess if 0 < excess < _INEXACT else 0

    @property
    def promised_frames(self) -> int | None:
        """The length that the header promises; None where it promises none.

        A header of the whole container promises the longest of all tracks. It is one of the sound
        only if no track goes on so long.
        """
        stream = self.stream
        if self._container.format.name in _ESTIMATED:
            return None
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
            return int(seconds * stream.rate)
        if self._container.duration is None:
            return None
        seconds = self._container.duration / 1_000_000
        if self._end >= seconds - _INEXACT / stream.rate:
            return None
        return int(seconds * stream.rate)


def _subtype_of(codec: str) -> str:
    """The coding of a WAV that holds what a codec has decoded."""
    for beginning, subtype in _LOSSLESS.items():
        if codec.startswith(beginning):
            return subtype
    return "PCM_16"


def _speaker_mask(layout: Any) -> int:
    """The speakers of three and more channels; one and two need no mask."""
    names = [channel.name for channel in layout.channels]
    return named_mask(names) if len(names) > 2 else 0


def _list_left_out(container: Any) -> str:
    """The chapters and cover pictures of a file, as text; empty if there are none."""
    from av.stream import Disposition

    covers = [
        stream
        for stream in container.streams.video
        if stream.disposition & Disposition.attached_pic
    ]
    counts = ((len(container.chapters()), "chapter"), (len(covers), "cover picture"))
    return " and ".join(plural(count, noun) for count, noun in counts if count)


class DecodedFile(AudioSource):
    """The first sound track of a file that FFmpeg reads."""

    def __init__(self, file: BinaryIO, name: str, *, strict: bool) -> None:
        super().__init__(file, name, strict=strict)
        with self._explained():
            self._container = self._open()
            self._describe(self._read_details())

    def _open(self) -> Any:
        import av

        with reading(self._name):
            self._file.seek(0)
        container = av.open(self._file, "r")
        if not container.streams.audio:
            raise InputError(f"{self._name}: expected sound, found none in it")
        return container

    def _read_details(self) -> AudioDetails:
        stream = self._container.streams.audio[0]
        tags = {}
        for key, text in self._container.metadata.items():
            name = _OTHER_NAMES.get(key.lower(), key.lower())
            if name in (*_TAGS, *_OTHER_NAMES.values()):
                tags[name] = text
        tracks = len(self._container.streams.audio)
        if tracks > 1:
            text = f"{self._name}: only the first of {tracks} sound tracks is read"
            self.warnings.append(Loss(text))
        left_out = _list_left_out(self._container)
        if left_out:
            self.warnings.append(Loss(f"{self._name}: what cannot be kept: {left_out}"))
        subtype = _subtype_of(stream.codec_context.name)
        return AudioDetails(
            format="WAV",
            subtype=subtype,
            rate=stream.rate,
            channels=stream.layout.nb_channels,
            frames=None,
            bits=bits_of(subtype),
            mask=_speaker_mask(stream.layout),
            tags=tags,
            chunks=container_of("WAV").convert(tags, ()),
        )

    def pieces(self) -> Iterator[AnyArray]:
        """Blocks of decoded samples. A second call starts over."""
        with self._explained():
            container, self._container = self._container or self._open(), None
            try:
                yield from self._blocks(container)
            finally:
                container.close()

    def _blocks(self, container: Any) -> Iterator[AnyArray]:
        held: list[AnyArray] = []
        count = 0
        total = 0
        track = _Track(container)
        for samples in self._frames(track):
            held.append(samples)
            count += len(samples)
            total += len(samples)
            # What fills up the last packet may begin in the block before the last one.
            if count >= self._block_frames + _INEXACT:
                block = np.concatenate(held)
                yield block[: self._block_frames]
                held = [block[self._block_frames :]]
                count = len(held[0])
        if held:
            last = np.concatenate(held)
            yield last[: len(last) - track.padding(total)]
        promised = track.promised_frames
        if promised is not None and total < promised - _INEXACT:
            self._report_truncated(promised, total, self.details.rate)
        elif not total:
            raise InputError(f"{self._name}: holds no samples", hint=NOTHING_THERE)
        elif track.damaged:
            self._report(f"{plural(track.damaged, 'packet')} of sound cannot be decoded")

    def _frames(self, track: _Track) -> Iterator[AnyArray]:
        """Decoded frames, `(n, channels)`, all of the rate and the channels of the first."""
        import av

        layout = track.stream.layout.name
        # Samples are interleaved, because PyAV reads past the last of eight planes and crashes.
        kind = "dbl" if self.details.subtype == "DOUBLE" else "flt"
        plain = av.AudioResampler(format=kind, layout=layout, rate=self.details.rate)
        for frame in track.frames():
            for part in plain.resample(frame):
                yield part.to_ndarray().reshape(-1, self.details.channels)
        for part in plain.resample(None):
            yield part.to_ndarray().reshape(-1, self.details.channels)

    def _samples(self, raw: AnyArray) -> AnyArray:
        return np.ascontiguousarray(raw)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of FFmpeg as InputError."""
        try:
            import av
        except ImportError:
            raise InputError(f"{self._name}: is sound that needs a decoder", hint=INSTALL) from None
        try:
            yield
        except av.FFmpegError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"{self._name}: cannot be decoded: {reason}", hint=NOTHING_THERE
            ) from error

    def close(self) -> None:
        """Close the file and its decoder."""
        if self._container is not None:
            self._container.close()
        super().close()
