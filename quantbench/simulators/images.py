"""Images of the user's own: small ones as a whole, large ones in patches."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from quantbench.audio import recordings
from quantbench.components import State, at_least, between, component
from quantbench.errors import ConfigError
from quantbench.install import how_to_install
from quantbench.metrics import MORE, Metric
from quantbench.named import said
from quantbench.simulators.base import Frames, Simulator
from quantbench.streams import Streams

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
WINDOW, SIGMA = 11, 1.5
"""Of the structural similarity."""
C1, C2 = 0.01**2, 0.03**2


@component
class Images(Simulator):
    """Patches of the images (PNG, JPEG, WebP) in a folder, read by Pillow; the target is the input.

    A frame is a square of pixels, channels first, as one row: an image of just that size as a whole, of a larger one a patch,
    at a random place in training and next to each other in evaluation. Pixels have zero mean and unit variance over the
    training images. Images, not patches, are held out. No finite number of bits is exact for this source.

    Attributes:
        folder: where the images are; ``scripts/get_images.sh`` fills the default one with those of Fashion-MNIST.
        size: pixels of a side.
        colour: ``grey``, one channel, or ``rgb``, three.
        held_out: share of the images kept for evaluation.
        evaluation_frames: most frames of evaluation, evenly spread over the held-out images.
    """

    sizes = ("size", "colour")
    paths = ("folder",)
    metrics = (
        Metric(
            "psnr_db", "peak signal-to-noise ratio of images, mean over them; pixels are clamped to their range", "dB", MORE
        ),
        Metric("ssim", "structural similarity of images, mean over them (from 11 pixels a side on)", better=MORE),
    )

    folder: str = "data/images"
    size: int = 28
    colour: Literal["grey", "rgb"] = "grey"
    held_out: float = 0.1
    evaluation_frames: int = 1024

    def check(self) -> None:
        at_least("simulator.size", self.size, 2)
        at_least("simulator.evaluation_frames", self.evaluation_frames, 1)
        between("simulator.held_out", self.held_out, 0.001, 0.9)
        self._load()

    def prepare(self) -> None:
        self._load()

    def fingerprint(self) -> str:
        return recordings.fingerprint_of(Path(self.folder), _find(Path(self.folder)))

    @property
    def channels(self) -> int:
        return 3 if self.colour == "rgb" else 1

    @property
    def shared_world(self) -> bool:
        return True

    @property
    def input_dim(self) -> int:
        return self.channels * self.size**2

    def world(self, streams: Streams) -> State:
        """All pixels of 8 bits, and where images and patches of evaluation are: the same for all, without a trial axis."""
        return {name: tensor.to(streams.device) for name, tensor in self._load().items()}

    def draw(self, world: State, streams: Streams, frames: int, purpose: str = "data") -> Frames:
        image = world["train"][streams.integers(purpose, len(world["train"]), frames)]
        free = (image[..., 1:] - self.size + 1).float()
        place = (streams.uniform(purpose, frames, 2) * free).long().minimum(free.long() - 1)
        return self._frames(world, image, place)

    def evaluation(self, world: State, streams: Streams) -> Frames:
        """The same patches for all trials."""
        patches = world["patches"].unsqueeze(0)
        one = self._frames(world, patches[..., :3], patches[..., 3:]).input
        frames = one.expand(streams.trials, -1, -1)
        return Frames(frames, frames)

    def measures(self, output: Tensor, target: Tensor, thorough: bool) -> dict[str, Tensor]:
        state = self._load()
        mean, scale = float(state["mean"]), float(state["scale"])
        made, wanted = ((one * scale + mean).clamp(0, 1) for one in (output, target))
        error = (made.double() - wanted.double()).square().mean(-1).clamp_min(1e-10)
        found = {"psnr_db": (-10 * error.log10()).mean(-1)}
        if thorough and self.size >= WINDOW:
            shape = (-1, self.channels, self.size, self.size)
            found["ssim"] = torch.stack([ssim(a.view(shape), b.view(shape)) for a, b in zip(made, wanted, strict=True)])
        return found

    def _frames(self, world: State, image: Tensor, place: Tensor) -> Frames:
        """Squares of images (trials, frames, 3: first pixel, height, width) at places (trials, frames, 2: row, column)."""
        side = torch.arange(self.size, device=image.device)
        rows = (place[..., :1] + side).unsqueeze(-1)
        pixels = image[..., :1, None] + rows * image[..., 2:, None] + (place[..., 1:] + side).unsqueeze(-2)
        values = world["pixels"][pixels].movedim(-1, -3).float() / 255  # channels first
        frames = ((values - world["mean"]) / world["scale"]).flatten(2)
        return Frames(frames, frames)

    def _load(self) -> State:
        folder = Path(self.folder).resolve()
        files = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in _find(folder))
        return _load(folder, self.size, self.colour, self.held_out, self.evaluation_frames, files)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of images (images, channels, height, width) of 0 to 1, mean over all, a number.

    Wang et al. (2004), IEEE Trans. Image Process. 13(4): a Gaussian window of 11 pixels with a deviation of 1.5, at places
    where it lies within the image.
    """
    places = torch.arange(WINDOW, dtype=torch.float64, device=a.device) - WINDOW // 2
    one = torch.exp(-places.square() / (2 * SIGMA**2))
    window = torch.outer(one, one) / one.sum().square()

    def local(images: Tensor) -> Tensor:
        flat = images.double().flatten(0, 1).unsqueeze(1)
        return torch.nn.functional.conv2d(flat, window[None, None])

    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a.double().square()) - mean_a.square(), local(b.double().square()) - mean_b.square()
    both = local(a.double() * b.double()) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1)
    return (luminance * (2 * both + C2) / (var_a + var_b + C2)).mean()


def _find(folder: Path) -> list[Path]:
    """The images below a folder, sorted. Raises ConfigError where there are fewer than two."""
    return recordings.find_below(folder, SUFFIXES, "images", "scripts/get_images.sh", "with small ones")


@lru_cache(maxsize=2)
def _load(folder: Path, size: int, colour: str, share: float, most: int, files: tuple[tuple[Path, int, int], ...]) -> State:
    """A worker trains many stacks on the same images: the last ones are kept. Raises ConfigError."""
    paths = [path for path, _, _ in files]
    held_out = recordings.held_out_files(folder, paths, share)
    parts, places, first = [], [], 0
    for path in paths:
        pixels = _read(path, colour)
        height, width = pixels.shape[:2]
        if min(height, width) < size:
            raise ConfigError(
                f"simulator.size={size}: {path} has {width} x {height} pixels; use a smaller size, or take the image out"
            )
        parts.append(pixels.reshape(height * width, -1))
        places.append((first, height, width))
        first += height * width
    train = [place for path, place in zip(paths, places, strict=True) if path not in held_out]
    kept = [place for path, place in zip(paths, places, strict=True) if path in held_out]
    patches = [
        (*one, r, c) for one in kept for r in range(0, one[1] - size + 1, size) for c in range(0, one[2] - size + 1, size)
    ]
    chosen = np.unique(np.linspace(0, len(patches) - 1, min(most, len(patches))).astype(int))
    sums = [
        (one.size, int(one.sum(dtype=np.int64)), int(np.square(one, dtype=np.int64).sum()))
        for one in (part for path, part in zip(paths, parts, strict=True) if path not in held_out)
    ]
    count, total, squares = (sum(one[i] for one in sums) for i in range(3))
    mean, variance = total / count / 255, squares / count / 255**2 - (total / count / 255) ** 2
    if variance < 1e-8:
        raise ConfigError(f"simulator.folder={folder}: all pixels of the images to train on are alike")
    return {
        "pixels": torch.from_numpy(np.concatenate(parts)),
        "train": torch.tensor(train),
        "patches": torch.tensor([patches[i] for i in chosen]),
        "mean": torch.tensor(mean),
        "scale": torch.tensor(math.sqrt(variance)),
    }


def _read(path: Path, colour: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Pixels of an image, (height, width) or (height, width, 3). Raises ConfigError."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError(f"images are read by Pillow, with the extra 'images': {how_to_install('images')}") from error
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB" if colour == "rgb" else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"simulator.folder: {path}: is no image that can be read ({said(error)}); take it out") from error
