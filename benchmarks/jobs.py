"""Every job of the table; many small files, and how long it takes to start."""

from __future__ import annotations

import peers as p
from job import OUT, Job, Peer, Sizes, shell
from pictures import pictures, single_picture
from sounds import ROUNDED, sounds
from tables import tables


def all_jobs(sizes: Sizes) -> list[Job]:
    """Every job of the table."""
    return [*sounds(sizes), *tables(sizes), *pictures(sizes), *many(), *starts()]


def many() -> list[Job]:
    """200 files in one call, against a loop."""
    sox = f"mkdir {OUT}; for f in small/*.wav; do sox -D $f {OUT}/${{f##*/}} sinc -a 100 -t 400 -3400; done"
    vips = f"mkdir {OUT}; for f in small/*.png; do vips gaussblur $f {OUT}/${{f##*/}} 3; done"
    lowpass, expand = "'lowpass:3400,width=400,attenuation=100'", "small/*"
    return [
        Job(
            name="many-sounds",
            says="low-pass of 200 sounds of a second",
            inputs=("small",),
            command=shell(f"convcli audio -q {lowpass} {expand}.wav -o {OUT}/"),
            peers=(Peer("a loop over SoX", p.SOX, shell(sox), 3, ROUNDED),),
            kind="folder",
            suffix="",
        ),
        Job(
            name="many-pictures",
            says="Gaussian of sigma 3 on 200 pictures of 256 x 256",
            inputs=("small",),
            command=shell(f"convcli image -q gaussian:3 {expand}.png -o {OUT}/"),
            peers=(Peer("a loop over libvips", p.VIPS, shell(vips), 3, 1.15, "its integer path"),),
            kind="folder",
            suffix="",
        ),
    ]


def starts() -> list[Job]:
    """How long it takes until something happens."""
    both = ("python", "-c", "import typer, numpy")
    typer = ("python", "-c", "import typer")
    sound = ("convcli", "audio", "-q", "lowpass:3400,width=400", "sound-1s.wav", "-o", OUT)
    return [
        Job(
            "start-help",
            "--help",
            (),
            ("convcli", "--help"),
            (_floor("import typer", typer, 1 / 1.2),),
        ),
        Job(
            "start-sound",
            "a sound of a second",
            ("sound-1s.wav",),
            sound,
            (_floor("import both", both, 1 / 1.5),),
        ),
        single_picture(
            "start-picture",
            "a picture of 64 x 64",
            "tiny.png",
            ["gaussian:3"],
            (_floor("import both", both, 1 / 1.5),),
        ),
    ]


def _floor(name: str, command: tuple[str, ...], goal: float) -> Peer:
    return Peer(name, p.PYTHON, command, goal, None, "the imports alone")
