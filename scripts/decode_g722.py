"""Decodes a tree of raw G.722 recordings to FLAC: python scripts/decode_g722.py SOURCE TARGET."""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile
from G722 import G722

SAMPLE_RATE, BIT_RATE = 16000, 64000


def decode(source: Path, target: Path) -> int:
    """Decode every ``*.g722`` below ``source`` into the same place below ``target``; gives the seconds of speech."""
    samples = empty = 0
    files = sorted(source.rglob("*.g722"))
    if not files:
        raise SystemExit(f"{source}: no .g722 files")
    for path in files:
        decoded = G722(SAMPLE_RATE, BIT_RATE).decode(path.read_bytes())
        if not len(decoded):
            empty += 1
            continue
        flac = (target / path.relative_to(source)).with_suffix(".flac")
        flac.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(flac, decoded, SAMPLE_RATE, subtype="PCM_16")
        samples += len(decoded)
    print(f"{len(files) - empty} recordings, {samples / SAMPLE_RATE / 60:.0f} minutes; {empty} empty ones left out")
    return samples // SAMPLE_RATE


if __name__ == "__main__":
    decode(Path(sys.argv[1]), Path(sys.argv[2]))
