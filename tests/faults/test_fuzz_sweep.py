"""A sweep.yaml that is damaged in any of its parts, given to ``resume``."""

import random
import shutil

import pytest
import yaml

from tests.faults.tools import assert_told, call

OTHERS = [None, 3, -1, 1.5, "x", [], [1], {}, {"a": 1}, True, "${nothing}", 2**70, float("nan"), "a\0b"]
DELETED = object()


def places(node, place=()):
    """Every place in nested data."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        yield (*place, name)
        yield from places(value, (*place, name))


def changed(node, place, value):
    """A copy with another value at a place, or without it."""
    node = node.copy()
    if len(place) > 1:
        node[place[0]] = changed(node[place[0]], place[1:], value)
    elif value is DELETED:
        del node[place[0]]
    else:
        node[place[0]] = value
    return node


@pytest.fixture
def damage(small_run, tmp_path):
    """Gives every damage of a small sweep with points, an axis and two combinations; and what resumes a damaged one."""
    folder = small_run("-m", "gradient=ste,noise", "seed=0,1", "train.lr=0.01,0.02")
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    del content["checksum"]  # or every change would be told as one
    content["points"] = [[0, 0, 0], [1, 1, 1]]
    content["data"] = {"there": "0"}
    (folder / "results.csv").unlink()
    damages = [(place, value) for place in places(content) for value in (DELETED, *OTHERS)]
    damages = [one for one in damages if one[0][-1] != "steps" or one[1] is not DELETED]  # the default takes its time

    def resume(number, place, value):
        one = tmp_path / f"damaged-{number}"
        shutil.copytree(folder, one)
        (one / "sweep.yaml").write_text(yaml.safe_dump(changed(content, place, value), allow_unicode=True))
        try:
            code, out, err = call(["resume", str(one)])
            assert_told(code, out, err)
            return code
        except Exception as error:
            raise AssertionError(f"{place}: {value!r}") from error
        finally:
            shutil.rmtree(one)

    return damages, resume


def test_30_damaged_sweeps(damage):
    damages, resume = damage
    chosen = random.Random(1).sample(damages, 30)
    assert {resume(number, *one) for number, one in enumerate(chosen)} >= {0, 2}


@pytest.mark.slow
def test_every_damage_of_a_sweep(damage):
    damages, resume = damage
    codes = [resume(number, *one) for number, one in enumerate(damages)]
    assert len(codes) > 2000
    assert set(codes) == {0, 2}
