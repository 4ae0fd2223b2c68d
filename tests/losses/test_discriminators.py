import math

import pytest
import torch
from torch.func import functional_call

from quantbench.errors import ConfigError
from quantbench.losses.discriminators import (
    BANDS,
    BandDiscriminator,
    Critic,
    PeriodDiscriminator,
    band_bins,
    critic_loss,
    features,
    generator_losses,
    normalised,
)

torch.set_num_threads(1)


def small(**settings):
    torch.manual_seed(0)
    return Critic(**({"periods": (2, 3), "windows": (64, 32), "channels": 2} | settings))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sizes(maps):
    return [tuple(one.shape) for one in maps]


def test_shapes_of_folded_samples():
    by_two, by_three, *_ = small()(noise(5, 1000))
    # 1000 samples are mirrored to 1002: 501 rows of 2, 334 rows of 3. Four layers leave every third row.
    channels = [2, 8, 32, 64, 64, 1]
    for maps, rows, period in [(by_two, [167, 56, 19, 7, 7, 7], 2), (by_three, [112, 38, 13, 5, 5, 5], 3)]:
        assert sizes(maps) == [(5, *shape, period) for shape in zip(channels, rows, strict=True)]


def test_shapes_of_bands():
    _, _, maps, _ = small()(noise(5, 100))
    # 7 hops of 16 samples are begun; 33 bins are cut at 3, 8, 16 and 24. Three layers leave every other bin.
    widths = [3, 3, 2, 1, 1, 1, 5, 5, 3, 2, 1, 1, 8, 8, 4, 2, 1, 1, 8, 8, 4, 2, 1, 1, 9, 9, 5, 3, 2, 2]
    outputs = [width for i, width in enumerate(widths) if i % 6]
    assert sizes(maps) == [(5, 2, 7, width) for width in outputs] + [(5, 1, 7, 1 + 1 + 1 + 1 + 2)]


def layer(outputs, inputs, *kernel):
    """Parameters of a weight-normalised convolution: directions, and a length and a bias for each output."""
    return outputs * inputs * math.prod(kernel) + outputs + outputs


def test_published_critic_has_its_published_parameters():
    period = [
        layer(32, 1, 5, 1),
        layer(128, 32, 5, 1),
        layer(512, 128, 5, 1),
        layer(1024, 512, 5, 1),
        layer(1024, 1024, 5, 1),
        layer(1, 1024, 3, 1),
    ]
    assert period == [224, 20736, 328704, 2623488, 5244928, 3074]
    band = [layer(32, 2, 3, 9), layer(32, 32, 3, 9), layer(32, 32, 3, 9), layer(32, 32, 3, 9), layer(32, 32, 3, 3)]
    assert band == [1792, 27712, 27712, 27712, 9280]
    window = 5 * band + [layer(1, 32, 3, 3)]
    table = 5 * [period] + 3 * [window]

    with torch.device("meta"):
        critic = Critic()
    for discriminator, wanted in zip(critic.discriminators, table, strict=True):
        convolutions = [module for module in discriminator.modules() if hasattr(module, "parametrizations")]
        assert [sum(p.numel() for p in module.parameters()) for module in convolutions] == wanted
    assert sum(p.numel() for p in critic.parameters()) == sum(map(sum, table)) == 42_519_760


def test_bands_cover_all_bins():
    assert band_bins(2048, BANDS) == [(0, 102), (102, 256), (256, 512), (512, 768), (768, 1025)]
    assert band_bins(512, BANDS) == [(0, 25), (25, 64), (64, 128), (128, 192), (192, 257)]


@pytest.mark.parametrize("samples", [6, 7, 8])
def test_periods_are_filled_with_the_mirrored_end(samples):
    folded = PeriodDiscriminator(4, 1).fold(torch.arange(float(samples)).expand(2, -1))
    wanted = {
        6: [0, 1, 2, 3, 4, 5, 4, 3],
        7: [0, 1, 2, 3, 4, 5, 6, 5],
        8: [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3],
    }
    assert folded.shape == (2, 1, len(wanted[samples]) // 4, 4)
    assert folded[1].flatten().tolist() == wanted[samples]


@pytest.mark.parametrize("samples", [64, 100, 112])
def test_spectrogram_is_that_of_torch(samples):
    discriminator = BandDiscriminator(64, BANDS, 1)
    waveform = noise(3, samples)
    # Centred frames of the mirrored waveform; the outer two on each side see torch's own padding and are dropped.
    padded = torch.nn.functional.pad(waveform, (24, 24 + -samples % 16), mode="reflect")
    wanted = torch.stft(padded, 64, 16, window=torch.hann_window(64), return_complex=True)[..., 2:-2]
    spectrogram = discriminator.spectrogram(waveform)
    assert spectrogram.shape == (3, 2, math.ceil(samples / 16), 33)
    assert torch.allclose(spectrogram, torch.view_as_real(wanted).permute(0, 3, 2, 1), atol=1e-5)


def test_layers_are_leaky():
    convolutions = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()])
    first, second = features(convolutions, torch.tensor([-2.0, 3.0]))
    assert torch.allclose(first, torch.tensor([-0.2, 3.0]))
    assert torch.allclose(second, torch.tensor([-0.02, 3.0]))


def test_mean_and_volume_do_not_matter():
    waveform = noise(4, 200)
    assert torch.allclose(normalised(waveform).abs().amax(-1), torch.full((4,), 0.8))
    assert torch.allclose(normalised(waveform).mean(-1), torch.zeros(4), atol=1e-6)
    critic = small()
    for maps, wanted in zip(critic(5 * waveform - 2), critic(waveform), strict=True):
        assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(maps, wanted, strict=True))
    assert all(one.isfinite().all() for maps in critic(torch.zeros(1, 200)) for one in maps)


def test_too_short_a_waveform_is_refused_with_both_lengths():
    critic = small()
    assert critic.shortest == 64
    critic(noise(1, 64))
    with pytest.raises(ConfigError, match=r"63 samples.*at least 64"):
        critic(noise(1, 63))
    folding = small(periods=(5,), windows=())
    folding(noise(1, 6))
    with pytest.raises(ConfigError, match=r"5 samples.*at least 6"):
        folding(noise(1, 5))
    with pytest.raises(ValueError, match=r"\(1, 1, 64\)"):
        critic(noise(1, 1, 64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"periods": (0,)}, "periods"),
        ({"channels": 0}, "channels"),
        ({"periods": (), "windows": ()}, "empty"),
        ({"bands": ()}, "bands"),
        ({"bands": ((0.5, 0.5),)}, "bands"),
        ({"bands": ((0.5, 1.5),)}, "bands"),
        ({"windows": (60,)}, "multiple of 8"),
        ({"windows": (16,)}, "without a bin"),
    ],
)
def test_settings_that_cannot_be_used(settings, message):
    with pytest.raises(ConfigError, match=message):
        small(**settings)


def constant(real_score, fake_score):
    """A critic of two discriminators that tells positive waveforms (real) from negative ones."""

    def critic(waveform):
        score = real_score if waveform.mean() > 0 else fake_score
        return [[waveform, waveform.new_full((2, 1, 3), score)], [waveform, waveform.new_full((2, 1, 5), score)]]

    return critic


def test_losses_of_constant_scores_by_hand():
    real, fake = torch.full((2, 8), 1.0), torch.full((2, 8), -2.0)
    critic = constant(0.75, 0.5)
    # Of each of the two: (1 - 0.75)^2 + 0.5^2; (1 - 0.5)^2; |1 - (-2)|.
    assert critic_loss(critic, real, fake).item() == 2 * (0.0625 + 0.25)
    adversarial, matching = generator_losses(critic, real, fake)
    assert adversarial.item() == 2 * 0.25
    assert matching.item() == 2 * 3


def test_losses_by_hand_of_a_real_critic():
    critic, real, fake = small(), noise(2, 80), noise(2, 80, seed=1)
    of_real, of_fake = critic(real), critic(fake)
    assert torch.isclose(
        critic_loss(critic, real, fake),
        sum(((1 - a[-1]) ** 2).mean() + (b[-1] ** 2).mean() for a, b in zip(of_real, of_fake, strict=True)),
    )
    adversarial, matching = generator_losses(critic, real, fake)
    assert torch.isclose(adversarial, sum(((1 - b[-1]) ** 2).mean() for b in of_fake))
    pairs = [(x, y) for a, b in zip(of_real, of_fake, strict=True) for x, y in zip(a[:-1], b[:-1], strict=True)]
    assert len(pairs) == 2 * 5 + 2 * 25
    assert torch.isclose(matching, sum((x - y).abs().mean() for x, y in pairs))


def test_equal_waveforms_match():
    waveform = noise(2, 80)
    adversarial, matching = generator_losses(small(), waveform, waveform.clone())
    assert matching == 0
    assert adversarial > 0


def test_gradients_reach_the_fake_alone():
    critic = small()
    real, fake = noise(2, 80).requires_grad_(), noise(2, 80, seed=1).requires_grad_()
    for loss in generator_losses(critic, real, fake):
        to_real, to_fake = torch.autograd.grad(loss, [real, fake], allow_unused=True, retain_graph=True)
        assert to_real is None
        assert to_fake.isfinite().all()
        assert (to_fake != 0).all()
    loss = critic_loss(critic, real, fake)
    (to_fake,) = torch.autograd.grad(loss, [fake], allow_unused=True, retain_graph=True)
    assert to_fake is None
    assert all((gradient != 0).any() for gradient in torch.autograd.grad(loss, list(critic.parameters())))


def test_gradient_of_the_waveform_is_that_of_differences():
    critic = small(periods=(3,), windows=(32,), channels=8).double()
    real, fake = noise(1, 40).double(), noise(1, 40, seed=1).double().requires_grad_()
    direction = noise(1, 40, seed=2).double()
    (gradient,) = torch.autograd.grad(sum(generator_losses(critic, real, fake)), fake)
    with torch.no_grad():
        step = 1e-6 * direction
        difference = sum(generator_losses(critic, real, fake + step)) - sum(generator_losses(critic, real, fake - step))
    assert torch.isclose((gradient * direction).sum(), difference / 2e-6, rtol=1e-4)


def test_all_that_is_learned_can_be_exchanged():
    settings = {"periods": (3,), "windows": (32,), "channels": 8}
    critic, other = small(**settings), Critic(**settings)
    parameters = {name: value.detach().clone().requires_grad_() for name, value in other.named_parameters()}
    assert set(critic.state_dict()) == set(parameters)
    before = [value.clone() for value in critic.parameters()]
    real, fake = noise(2, 80), noise(2, 80, seed=1)
    loss = critic_loss(lambda waveform: functional_call(critic, parameters, (waveform,)), real, fake)
    wanted = critic_loss(other, real, fake)
    assert loss == wanted
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    assert all(map(torch.equal, gradients, torch.autograd.grad(wanted, list(other.parameters()))))
    assert all(map(torch.equal, critic.parameters(), before))

    with torch.no_grad():
        for own, new in zip(critic.parameters(), other.parameters(), strict=True):
            own.copy_(new)
    assert critic_loss(critic, real, fake) == wanted


def test_loss_falls_where_real_and_fake_are_easily_told_apart():
    critic = small(periods=(3,), windows=(64,), channels=4)
    time = torch.arange(256) / 256
    real = torch.sin(2 * math.pi * (torch.tensor([[4.0], [7.0], [11.0], [18.0]]) * time))
    optimizer = torch.optim.AdamW(critic.parameters(), lr=3e-3, betas=(0.8, 0.99))
    losses = []
    for step in range(50):
        loss = critic_loss(critic, real, noise(4, 256, seed=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Two discriminators that say 0.5 to everything lose 1, and none that cannot tell loses less.
    assert losses[0] > 1.5
    assert losses[-1] < 0.5
    unseen = critic_loss(critic, real.roll(50, dims=1), noise(4, 256, seed=100))
    assert unseen < 1
