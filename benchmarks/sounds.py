"""Jobs on sound, and their peers."""

from __future__ import annotations

import peers as p
from job import OUT, Job, Peer, Sizes, script

# Rounding to 16 bits makes -98 dBFS on both sides.
ROUNDED = -88.0

FFMPEG = ("ffmpeg", "-nostdin", "-v", "error", "-y", "-i")


def sounds(sizes: Sizes) -> list[Job]:
    """Low-pass, reverberation, other rates, hum."""
    lowpasses = [
        lowpass(
            "lowpass-60min",
            sizes.sound["60min"],
            {"SoX sinc": 2.5, "firequalizer": 1.5, "afir": 1.5, "SciPy": 5},
        ),
        lowpass(
            "lowpass-5min",
            sizes.sound["5min"],
            {"SoX sinc": 1.6, "firequalizer": 1.2, "afir": 1.2, "SciPy": 5},
        ),
    ]
    copy = Peer(
        "SoX plain copy",
        p.SOX,
        ("sox", "-D", sizes.sound["60min"], OUT),
        goal=1 / 1.8,
        why="a copy, not filtered",
    )
    lowpasses[0] = Job(**{**vars(lowpasses[0]), "peers": (*lowpasses[0].peers, copy)})
    return [
        *lowpasses,
        reverb(sizes.sound["5min"]),
        resample(sizes.sound["60min"]),
        decimate(sizes.sound["60min"]),
        hum(sizes.sound["10min"]),
    ]


def lowpass(name: str, sound: str, goals: dict[str, float]) -> Job:
    """100 dB, from 3.2 to 3.6 kHz."""
    equalizer = "firequalizer=gain='if(lt(f,3400),0,-150)':delay=0.008:wfunc=bharris:fft2=on"
    fir = ("-i", "taps-sound.wav", "-filter_complex", "afir=gtype=none")
    return Job(
        name=name,
        says=f"low-pass of {sound}: 100 dB of stop band, 3.2 to 3.6 kHz",
        inputs=(sound, "taps-sound.npy", "taps-sound.wav"),
        command=(
            "convcli",
            "audio",
            "-q",
            "lowpass:3400,width=400,attenuation=100",
            sound,
            "-o",
            OUT,
        ),
        peers=(
            Peer(
                "SoX sinc",
                p.SOX,
                ("sox", "-D", sound, OUT, "sinc", "-a", "100", "-t", "400", "-3400"),
                goals["SoX sinc"],
                ROUNDED,
            ),
            Peer(
                "ffmpeg firequalizer",
                p.FFMPEG,
                (*FFMPEG, sound, "-af", equalizer, OUT),
                goals["firequalizer"],
                ROUNDED + 6,
                "its window stops 92 dB; both channels in one FFT",
            ),
            Peer(
                "ffmpeg afir",
                p.FFMPEG,
                (*FFMPEG, sound, *fir, OUT),
                goals["afir"],
                ROUNDED,
                "the same taps; its delay and gain are its own",
            ),
            Peer(
                "SciPy oaconvolve",
                p.SCIPY,
                script("scipy_lowpass", sound, OUT, "taps-sound.npy"),
                goals["SciPy"],
                ROUNDED,
                "the same taps",
            ),
        ),
        equal="same stop band and transition; the sound has nothing in the transition, where windows differ",
    )


def reverb(sound: str) -> Job:
    """2 s of response on 5 min."""
    fir = ("-i", "hall.wav", "-filter_complex", "afir=gtype=none")
    return Job(
        name="reverb-5min",
        says=f"{sound} with a stereo impulse response of 2 s",
        inputs=(sound, "hall.wav"),
        command=("convcli", "audio", "-q", "ir:hall.wav", sound, "-o", OUT),
        peers=(
            Peer(
                "ffmpeg afir",
                p.FFMPEG,
                (*FFMPEG, sound, *fir, OUT),
                2,
                ROUNDED,
                "its gain is its own",
            ),
            Peer(
                "SciPy oaconvolve",
                p.SCIPY,
                script("scipy_reverb", sound, OUT, "hall.wav"),
                2,
                ROUNDED,
            ),
        ),
        equal="the same response, no tail after the end",
    )


def resample(sound: str) -> Job:
    """44.1 to 16 kHz."""
    swr = "aresample=16000:filter_type=kaiser:kaiser_beta=10:filter_size=142:cutoff=0.955"
    soxr = "aresample=16000:resampler=soxr:precision=17:cutoff=0.91"
    return Job(
        name="resample-60min",
        says=f"{sound} at 16 kHz: 100 dB, flat to 0.91 of Nyquist",
        inputs=(sound,),
        command=("convcli", "audio", "-q", "resample:16k", sound, "-o", OUT),
        peers=(
            Peer(
                "SoX rate",
                p.SOX,
                ("sox", "-D", sound, OUT, "rate", "-m", "-b", "93", "16000"),
                2,
                ROUNDED + 4,
            ),
            Peer("ffmpeg swr", p.FFMPEG, (*FFMPEG, sound, "-af", swr, OUT), 1, ROUNDED),
            Peer("ffmpeg soxr", p.FFMPEG, (*FFMPEG, sound, "-af", soxr, OUT), 1, ROUNDED),
            Peer(
                "ffmpeg swr, default",
                p.FFMPEG,
                (*FFMPEG, sound, "-ar", "16000", OUT),
                None,
                ROUNDED + 21,
                "a shorter filter: more aliasing",
            ),
        ),
        equal="99 to 102 dB of stop band, pass band to 0.91 of the new Nyquist frequency",
    )


def decimate(sound: str) -> Job:
    """Every 4th sample."""
    return Job(
        name="decimate-60min",
        says=f"every 4th sample of {sound}, 100 dB of anti-aliasing",
        inputs=(sound, "taps-decimate.npy"),
        command=("convcli", "audio", "-q", "downsample:4,attenuation=100", sound, "-o", OUT),
        peers=(
            Peer(
                "SoX rate",
                p.SOX,
                ("sox", "-D", sound, OUT, "rate", "-m", "-b", "88", "11025"),
                2.5,
                ROUNDED,
            ),
            Peer(
                "SciPy upfirdn",
                p.SCIPY,
                script("scipy_decimate", sound, OUT, "taps-decimate.npy"),
                2.5,
                ROUNDED,
                "the same taps",
            ),
        ),
        equal="100 dB of stop band, pass band to 0.8 of the new Nyquist frequency",
    )


def hum(sound: str) -> Job:
    """50 Hz and its first 8 multiples."""
    rejects = [word for n in range(1, 9) for word in ("bandreject", str(50 * n), "30q")]
    return Job(
        name="hum-10min",
        says=f"{sound} without 50 Hz and its first 8 multiples",
        inputs=(sound,),
        command=("convcli", "audio", "-q", "notch:50,harmonics=8", sound, "-o", OUT),
        peers=(Peer("SoX bandreject", p.SOX, ("sox", "-D", sound, OUT, *rejects), 1 / 3, ROUNDED),),
        equal="the biquads of the same cookbook, recursive there, one kernel here",
    )
