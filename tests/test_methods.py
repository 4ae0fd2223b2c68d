import re
import sys
from pathlib import Path

from quantbench.choices import choices
from quantbench.sweeps.catalogue import default_component

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

import methods_table

PAGE = methods_table.PAGE.read_text()


def test_the_page_of_methods_is_up_to_date():
    assert methods_table.page(PAGE) == PAGE, "run python scripts/methods_table.py"


def test_a_choice_whose_stage_tells_of_it_has_the_stages_formula():
    (row,) = (line for line in PAGE.split("\n") if line.startswith("| `robust_rfsq` |"))
    assert "T^-1(Q(T(y)))" in row
    assert "arXiv 2508.15860" in row
    (plain,) = (line for line in PAGE.split("\n") if line.startswith("| `rfsq` |"))
    assert "T^-1" not in plain


def test_every_choice_has_a_formula_a_source_a_recommendation_and_a_check():
    from tests.conformance import CHECKS

    methods_table.page(PAGE)  # imports the tests
    for group in ("quantizer", "gradient"):
        for name in choices(group):
            docstring = type(default_component(group, name)).__doc__
            for field in ("Formula", "Source", "Recommended", "Compared with"):
                assert re.search(rf"^ +{field}: \S", docstring, re.MULTILINE), (name, field)
            assert CHECKS[name], name
