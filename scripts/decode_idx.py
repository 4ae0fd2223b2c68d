"""Writes the test images of a data set in the format of MNIST as PNG: python scripts/decode_idx.py SOURCE TARGET."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def decode(source: Path, target: Path) -> int:
    """Write every image below its class; gives their number."""
    images, labels = (
        np.frombuffer(gzip.decompress((source / f"t10k-{name}-ubyte.gz").read_bytes()), np.uint8)
        for name in ("images-idx3", "labels-idx1")
    )
    count, height, width = (int.from_bytes(images[start : start + 4].tobytes(), "big") for start in (4, 8, 12))
    pixels = images[16:].reshape(count, height, width)
    for number, (image, label) in enumerate(zip(pixels, labels[8:], strict=True)):
        place = target / str(label) / f"{number:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    print(f"{count} images of {width} x {height} pixels")
    return count


if __name__ == "__main__":
    decode(Path(sys.argv[1]), Path(sys.argv[2]))
