import pickle

import pytest

from quantbench.points import Points
from quantbench.results.tables import curves_table

POINTS = [(0, "mse", 1.0), (0, "usage", 0.5), (200, "mse", float("inf")), (2**40, "mse", -0.25)]


def test_points_are_what_they_were_made_of():
    packed = Points(POINTS)
    assert list(packed) == POINTS
    assert (len(packed), packed[1], packed[-1], packed[1:3]) == (4, POINTS[1], POINTS[-1], POINTS[1:3])
    assert packed == Points(POINTS)
    assert packed != Points(POINTS[:3])
    assert list(pickle.loads(pickle.dumps(packed))) == POINTS


def test_tables_of_trials_with_different_metrics():
    table = curves_table([("a", Points(POINTS)), ("b", Points()), ("c", Points([(5, "rate", 2.0), (5, "mse", 3.0)]))])
    assert table.to_numpy().tolist() == [["a", *point] for point in POINTS] + [["c", 5, "rate", 2.0], ["c", 5, "mse", 3.0]]
    assert list(curves_table([]).columns) == ["trial", "step", "metric", "value"]


@pytest.mark.parametrize("point", [(0.5, "mse", "high"), ("later", "mse", 1.0)])
def test_what_is_no_point(point):
    with pytest.raises((TypeError, ValueError), match=r"could not convert|invalid literal|must be"):
        Points([point])
