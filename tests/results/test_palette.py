"""Methods are told apart, and seen, on light pages and on dark ones."""

import re
from pathlib import Path

import pytest

import quantbench.results.report as page
from quantbench.results.palette import COLOURS, crowded, styles
from quantbench.results.plots.paper import INKS
from quantbench.results.scatter import BARS, CONTRARY, DOT, FAR
from quantbench.results.shades import DARK_GROUND, LEAST_CONTRAST, LIGHT_GROUND, contrast, luminance, on_dark, ramp

WEIGHTS = [0, 0.1, 1, 10, 2, 100]


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the known grey of the least contrast for text


@pytest.mark.parametrize("colour", [*COLOURS, *(shade for one in COLOURS for shade in ramp(one, 8))])
def test_every_colour_is_seen_on_both_pages(colour):
    assert contrast(colour, LIGHT_GROUND) >= LEAST_CONTRAST
    assert contrast(on_dark(colour), DARK_GROUND) >= LEAST_CONTRAST


def test_other_lines_are_seen():
    colours = [one.colour for one in (BARS, CONTRARY, DOT, FAR)] + [INKS[name] for name in ("ink", "muted", "bad")]
    assert min(contrast(colour, LIGHT_GROUND) for colour in colours) >= LEAST_CONTRAST
    sheet = (Path(page.__file__).parent / "assets" / "report.css").read_text()
    assert len(re.findall(r"--paper:", sheet)) == 2
    for ground in (LIGHT_GROUND, DARK_GROUND):
        part = sheet[sheet.index(f"--paper: {ground}") :]
        for name in ("ink", "muted", "bad", "link"):
            assert contrast(re.search(rf"--{name}: (#\w+)", part)[1], ground) >= LEAST_CONTRAST, (name, ground)


def test_eight_methods_have_eight_colours():
    names = ["vq mste", "vq mste commitment=1", "fsq mste", "rvq mste", "vq ste", "a", "b", "c"]
    assert len({style.colour for style in styles(names).values()}) == len(names)
    assert styles(names) == styles(names[::-1])


@pytest.mark.parametrize("count", [12, 39, 256])
def test_no_two_methods_have_one_style(count):
    found = styles([f"vq m{place}" for place in range(count)])
    assert len(set(found.values())) == count
    if count <= 64:  # points have no dashes
        assert len({(style.colour, style.marker) for style in found.values()}) == count


def test_methods_that_differ_in_a_number_darken_with_it():
    found = styles([f"vq ste commitment={weight}" for weight in WEIGHTS] + ["vq mste", "fsq ste"])
    lights = [luminance(found[f"vq ste commitment={weight}"].colour) for weight in sorted(WEIGHTS)]
    assert lights == sorted(lights, reverse=True)
    assert len(set(lights)) == len(WEIGHTS)
    dark = [luminance(on_dark(found[f"vq ste commitment={weight}"].colour)) for weight in sorted(WEIGHTS)]
    assert dark == sorted(dark)
    assert {found["vq mste"].colour, found["fsq ste"].colour} < set(COLOURS)


def test_a_grid_of_two_numbers_has_a_hue_a_row():
    names = [f"vq levels={levels} commitment={weight}" for levels in (2, 4, 8) for weight in WEIGHTS]
    assert len(set(styles(names).values())) == len(names)
    assert not crowded(names)
    assert crowded([f"m{letter}" for letter in "abcdefghijk"])


def test_who_chooses_first_has_a_colour_alone():
    names = [f"m{place}" for place in range(39)]
    found = styles(names, names[20:26])
    chosen = [found[name] for name in names[20:26]]
    assert len({style.colour for style in chosen}) == 6
    assert {style.dash for style in chosen} == {"solid"}
