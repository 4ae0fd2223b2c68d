"""Images of the user's own, and the codec and the measures made for them."""

import numpy as np
import pytest
import torch

from quantbench.codecs import Conv
from quantbench.errors import ConfigError
from quantbench.gradients import STE
from quantbench.quantizers import FSQ
from quantbench.simulators import Images
from quantbench.simulators.images import ssim
from quantbench.streams import Streams
from quantbench.training import Stack, TrainSettings, train
from quantbench.training.keep import Keep

Image = pytest.importorskip("PIL.Image", reason="needs the extra 'images'")
QUICK = Keep(references=False, yardsticks=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Smooth images; each pixel is known by its image and its place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    place = tmp_path / "images"
    (place / "some").mkdir(parents=True)
    for number in range(12):
        pixels = generator.integers(0, 256, (16, 12 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "some" / f"{number}.{'webp' if number == 3 else 'png'}", lossless=True)
    return place


def squares(folder, size, colour):
    """Every square of every image, by Pillow and slices alone."""
    found = {}
    for path in sorted(folder.rglob("*.*")):
        pixels = np.asarray(Image.open(path).convert("RGB" if colour == "rgb" else "L")).reshape(
            16, -1, 3 if colour == "rgb" else 1
        )
        for r in range(16 - size + 1):
            for c in range(pixels.shape[1] - size + 1):
                found[pixels[r : r + size, c : c + size].transpose(2, 0, 1).tobytes()] = path
    return found


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_frames_are_squares_of_the_images(folder, colour):
    simulator = Images(folder=str(folder), size=8, colour=colour, held_out=0.25)
    simulator.check()
    world = simulator.world(Streams([0, 1]))
    known = squares(folder, 8, colour)
    drawn = simulator.draw(world, Streams([0, 1]), 300).input
    held_out = simulator.evaluation(world, Streams([0, 1])).input
    assert drawn.shape == (2, 300, simulator.input_dim)
    assert simulator.input_dim == 64 * (3 if colour == "rgb" else 1)

    def of(frames):
        pixels = ((frames * world["scale"] + world["mean"]) * 255).round().to(torch.uint8).numpy()
        return {known[frame.tobytes()] for frame in pixels}

    trained, judged = of(drawn.flatten(0, 1)), of(held_out[0])
    assert len(trained) == 9
    assert len(judged) == 3
    assert not trained & judged
    assert torch.equal(held_out[0], held_out[1])
    assert float(drawn.mean()) == pytest.approx(0, abs=0.1)
    assert float(drawn.std()) == pytest.approx(1, abs=0.1)
    alone = simulator.draw(world, Streams([1]), 300).input
    assert torch.equal(alone[0], drawn[1])


def slow_ssim(a, b):
    """By loops over places, with moments about the weighted means."""
    line = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    found = []
    for r in range(a.shape[0] - 10):
        for c in range(a.shape[1] - 10):
            x, y = a[r : r + 11, c : c + 11], b[r : r + 11, c : c + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy, cov = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum(), (window * (x - mx) * (y - my)).sum()
            found.append((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return np.mean(found)


def test_measures_are_those_of_plain_loops(folder):
    simulator = Images(folder=str(folder), size=12)
    state = simulator.world(Streams([0]))
    target = simulator.evaluation(state, Streams([0])).input
    output = target + 0.3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    found = simulator.measures(output, target, thorough=True)
    made, wanted = ((one[0] * state["scale"] + state["mean"]).clamp(0, 1).double().numpy() for one in (output, target))
    psnr = np.mean([10 * np.log10(1 / np.mean((a - b) ** 2)) for a, b in zip(made, wanted, strict=True)])
    similar = np.mean([slow_ssim(a.reshape(12, 12), b.reshape(12, 12)) for a, b in zip(made, wanted, strict=True)])
    assert float(found["psnr_db"][0]) == pytest.approx(psnr, rel=1e-6)
    assert float(found["ssim"][0]) == pytest.approx(similar, rel=1e-6)
    same = torch.rand(2, 1, 16, 16)
    assert float(ssim(same, same)) == pytest.approx(1)
    assert "ssim" not in simulator.measures(output, target, thorough=False)


def test_the_codec_trains_alike_alone_and_in_a_stack(folder):
    def outcome(seeds):
        whole = Stack.of(
            simulator=Images(folder=str(folder), size=12),
            codec=Conv(latent_dim=3, width=4),
            quantizer=FSQ(levels=4),
            gradient=STE(),
            train=TrainSettings(steps=6, batch=8, log_every=6, warm_start=2),
            seeds=seeds,
            device="cpu",
        )
        told = [one.metrics for one in train(whole, keep=QUICK)]
        return [{k: v for k, v in one.items() if k not in ("seconds", "step_seconds")} for one in told]

    together = outcome((0, 1))
    assert outcome((1,)) == together[1:]
    assert together[0]["psnr_db"] > 0


def test_rescaling_leaves_the_codecs_output():
    codec = Conv(latent_dim=3, width=4)
    weights, images = codec.init(Streams([0, 1]), 144, 0, 144), torch.randn(2, 5, 144)
    latents = codec.encode(weights, images)
    assert latents.shape == (2, 5 * codec.latents_per_frame(144), 3) == (2, 45, 3)
    before = codec.decode(weights, latents, None, 5)
    codec.rescale(weights, torch.tensor([2.0, 0.5]))
    after = codec.encode(weights, images)
    assert torch.allclose(after[0], 2 * latents[0], atol=1e-5)
    # of the decoder the first convolution's padding is of zeros, so that a factor passes through it
    assert torch.allclose(codec.decode(weights, after, None, 5), before, atol=1e-4)


def test_what_cannot_be_used_is_named(folder, tmp_path):
    def refused(**settings):
        with pytest.raises(ConfigError) as caught:
            Images(**{"folder": str(folder), "size": 8} | settings).check()
        return str(caught.value)

    assert "no such folder. Run scripts/get_images.sh" in refused(folder="nowhere")
    assert "simulator.size=14: " in refused(size=14)
    assert "has 12 x 16 pixels" in refused(size=14)
    (tmp_path / "empty").mkdir()
    assert "0 images found" in refused(folder=str(tmp_path / "empty"))
    (folder / "broken.png").write_bytes(b"no image")
    assert "broken.png: is no image that can be read" in refused()
    with pytest.raises(ConfigError, match=r"codec.colours=1: frames of 192 numbers are no square"):
        Conv().check_frames(192, 0, 192)
    with pytest.raises(ConfigError, match=r"codec.halvings=3: images of 28 pixels"):
        Conv(halvings=3).check_frames(784, 0, 784)
