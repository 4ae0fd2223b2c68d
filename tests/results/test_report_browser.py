"""Reports in a real browser: Debian's Chromium, which scripts/install_chromium.sh installs."""

import itertools
import json
import math
import shutil

import pandas as pd
import pytest

from quantbench.results.frame import frame
from quantbench.results.load import load
from quantbench.results.rank import rank
from quantbench.results.report import report
from quantbench.results.shades import DARK_GROUND, LEAST_CONTRAST, LIGHT_GROUND, contrast
from quantbench.results.statistics import paired_difference
from tests.results.report_runs import HOSTILE, hostile_run, write_run

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: scripts/install_chromium.sh")
QUIET = ["--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 120_000
"""Milliseconds: a machine may be busy."""

BROKEN = [("ste", 6, 0), ("noise", 8, 2)]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    report([write_run(folder / "run", broken=BROKEN)], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    report([hostile_run(folder / "run")], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def tab(browser):
    """One page for all reports: to load a report into a new one takes nearly twice as long."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    wrong = []
    page.on("console", lambda message: wrong.append(("console", message.text)))
    page.on("pageerror", lambda error: wrong.append(("error", str(error))))
    page.on("dialog", lambda dialog: (wrong.append(("dialog", dialog.message)), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith("file:") or wrong.append(("request", request.url[:200])))
    return page, wrong


@pytest.fixture
def visit(tab):
    """Opens a report; at the end nothing may have been said on the console, asked of a network, or shown in a dialog."""
    page, wrong = tab
    wrong.clear()

    def opened(path, width=1280, reduced_motion="no-preference"):
        page.emulate_media(color_scheme="light", reduced_motion=reduced_motion)
        page.set_viewport_size({"width": width, "height": 900})
        page.mouse.move(0, 0)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    assert not wrong


@pytest.fixture
def untouched(tab, visit, plain):
    """The plain report for a test that only looks at it; loaded anew if anything else was done with the page."""
    page, _ = tab
    if page.evaluate("window.untouched") != plain.as_uri():
        visit(plain)
        page.evaluate("uri => { window.untouched = uri }", plain.as_uri())
    return page


def column(page, name):
    """The cells of a column of the table of trials."""
    names = page.locator("#trial-table thead button").evaluate_all("all => all.map(one => one.dataset.column)")
    return page.locator(f"#trial-table tbody tr > :nth-child({names.index(name) + 1})").all_text_contents()


def drawn(page, plot):
    """The traces of a plot."""
    keys = "({name: one.name, panel: one.xaxis, x: one.x, y: one.y, rows: one.customdata})"
    return page.evaluate(f"document.getElementById('{plot}').data.map(one => {keys})")


def trace(page, plot, name):
    return next((one for one in drawn(page, plot) if one["name"] == name), None)


def trials(page):
    """What is drawn of trials that completed, one by one."""
    return [one for one in drawn(page, "by-method") if one["name"].endswith(" trials")]


def click_point(page, plot, name, index=0):
    """Click where a plot has a point."""
    page.locator(f"#{plot}").scroll_into_view_if_needed()
    script = """([plot, name, index]) => {
        const box = document.getElementById(plot), one = box._fullData.find(one => one.name === name);
        const place = box.querySelector('.bglayer, .plot').ownerSVGElement.getBoundingClientRect();
        const [xaxis, yaxis] = ['x', 'y'].map(name => box._fullLayout[one[name + 'axis'].replace(name, name + 'axis')]);
        return [place.x + xaxis._offset + xaxis.d2p(one.x[index]), place.y + yaxis._offset + yaxis.d2p(one.y[index])];
    }"""
    page.mouse.move(*page.evaluate(script, [plot, name, index]), steps=3)
    page.wait_for_selector(f"#{plot} .hoverlayer .hovertext")  # plotly has found the point under the mouse
    page.mouse.click(*page.evaluate(script, [plot, name, index]))


def test_sections_plots_and_findings_are_there(untouched):
    page = untouched
    assert page.locator("h1").inner_text() == "test"
    assert page.locator("html").get_attribute("lang") == "en-GB"
    assert page.locator("main section:visible h2").all_text_contents() == [
        "Findings",
        "Plots",
        "Trials",
        "Compare two methods",
        "Configuration and environment",
    ]
    assert "2 of 30 trials diverged" in page.locator("#findings .warning").first.inner_text()
    for plot in ("by-method", "curves", "rate", "growth", "ranks"):
        assert page.locator(f"#{plot} .main-svg").first.is_visible()
        assert len(page.locator(f"#{plot}-text").inner_text()) > 50
        buttons = page.locator(f"#{plot} .modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)")
        assert buttons == ["Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"]  # none uploads data


def test_bars_are_the_means_of_the_frame(untouched, plain):
    page = untouched
    found = frame(load(plain.parent / "run"), "nmse_db").means()
    means = "document.getElementById('by-method').data.filter(one => one.error_x)"
    bars = page.evaluate(f"{means}.map(one => [one.text[0].split('<br>'), one.x[0], one.error_x.array[0]])")
    drawn_means = {(method, task): (x, half) for (method, task, *_), x, half in bars}
    assert len(drawn_means) == len(found) == 6
    for (method, task), (estimate, _) in found.items():
        assert drawn_means[method, task] == pytest.approx((estimate.mean, estimate.high - estimate.mean), rel=1e-5)


def test_numbers_of_neighbouring_panels_do_not_touch(untouched):
    page = untouched
    for plot in ("curves", "growth"):
        ends = page.locator(f"#{plot} .xtick text, #{plot} .x2tick text").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right]).sort((a, b) => a[0] - b[0])"
        )
        assert len(ends) > 4
        assert all(one[1] + 2 < other[0] for one, other in itertools.pairwise(ends))


def test_failures_are_drawn_and_marked(visit, plain):
    page = visit(plain)
    failed = [one for one in drawn(page, "by-method") if one["name"] == "diverged or failed"]
    assert sum(len(one["rows"]) for one in failed) == 2
    words = "×: trials that diverged or failed, beyond the worst value, and in no mean."
    assert words in page.locator("#by-method-text").inner_text()
    assert "× 1 diverged of 10" in page.locator("#by-method .yaxislayer-above").first.text_content()
    good = [x for one in trials(page) for x in one["x"]]
    assert len(good) == 28
    for one in failed:
        assert one["x"][0] > max(x for other in trials(page) if other["panel"] == one["panel"] for x in other["x"])
    for plot in ("curves", "growth"):  # as far as they came
        lines = [one for one in drawn(page, plot) if one["name"].endswith(" trial")]
        assert {row for one in lines for row in one["rows"]} >= {row for one in failed for row in one["rows"]}
    assert [text for text in column(page, "status") if text != "completed"] == ["\u2715 diverged"] * 2
    page.select_option("#status", "diverged")
    assert page.locator("#trial-table tbody tr.broken").count() == 2


def test_the_table_sorts_numbers_and_keeps_missing_values_last(visit, plain):
    page = visit(plain)
    for order, down in (("ascending", False), ("descending", True)):
        page.locator('#trial-table button[data-column="nmse_db"]').click()
        values = [float(text) if text else None for text in column(page, "nmse_db")]
        assert values[-2:] == [None, None]
        assert values[:-2] == sorted(values[:-2], reverse=down)
        assert page.locator(f'th[aria-sort="{order}"]').inner_text().startswith("nmse_db")
        assert page.locator("th[aria-sort]:not([aria-sort=none])").count() == 1
    # And with the keyboard, without losing the focus.
    page.locator('#trial-table button[data-column="seed"]').focus()
    page.keyboard.press("Enter")
    assert column(page, "seed") == sorted(column(page, "seed"))
    page.keyboard.press("Space")
    assert column(page, "seed") == sorted(column(page, "seed"), reverse=True)
    assert page.evaluate("document.activeElement.dataset.column") == "seed"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_table_is_filtered(visit, plain):
    page = visit(plain)
    queries = [("mste", 10), ("seed=3", 6), ("nmse_db<-8.5 simulator.bits=6", 9), ("nothing", 0), ("gap_db>=5", 9)]
    for query, count in queries:
        page.fill("#filter", query)
        page.wait_for_function("text => document.getElementById('page').textContent.startsWith(text)", arg=f"{count} of 30")
        assert page.locator("#trial-table tbody tr").count() == count


def test_toggles_change_the_plots(visit, plain):
    page = visit(plain)
    assert page.locator("#log").is_disabled()  # decibels
    page.select_option("#metric", "mse")
    assert page.locator("#by-method-title").inner_text() == "mse by method"
    page.check("#log")
    assert page.evaluate("document.getElementById('by-method').layout.xaxis.type") == "log"
    page.select_option("#task", label="bits=8")
    assert len([row for one in drawn(page, "by-method") if one["rows"] for row in one["rows"]]) == 15
    assert len(page.locator("#curves .xtitle").all_text_contents()) == 1  # a panel
    page.locator("#methods-box summary").click()
    page.uncheck('#methods input[value="1"]')
    assert trace(page, "by-method", "vq mste") is None
    assert "vq mste" not in page.locator("#by-method .yaxislayer-above").first.text_content()
    assert trace(page, "curves", "vq mste") is None
    page.uncheck("#growth-log")
    assert page.evaluate("document.getElementById('growth').layout.yaxis.type") == "linear"
    page.check("#shown-only")
    assert page.locator("#trial-table tbody tr").count() == 10


def test_of_many_methods_the_best_and_those_that_grow_are_shown_first(visit, tmp_path):
    gradients = [*(f"g{place:02d}" for place in range(20)), "ste"]
    report([write_run(tmp_path / "run", gradients=gradients, bits=[6], seeds=range(2))], tmp_path / "r.html")
    page = visit(tmp_path / "r.html")
    shown = [f"vq g{place:02d}" for place in range(12)] + ["vq ste"]
    assert sorted(one["name"].removesuffix(" trials") for one in trials(page)) == shown
    assert page.locator("#methods-count").text_content() == "13 of 21"


def test_of_many_tasks_the_one_with_most_methods_is_shown_first(visit, tmp_path):
    runs = [
        write_run(tmp_path / "few", gradients=["diveq", "ste"], bits=range(2, 8), seeds=[0]),
        write_run(tmp_path / "most", gradients=["mste", "noise", "nsvq"], bits=[8], seeds=[1]),
    ]
    report(runs, tmp_path / "r.html")
    page = visit(tmp_path / "r.html")
    assert page.locator("#task option:checked").text_content() == "bits=8"
    shown = [one["name"].removesuffix(" trials") for one in trials(page)]
    assert sorted(shown) == ["vq mste", "vq noise", "vq nsvq"]
    assert page.locator("#compare-table tbody tr").count() > 0  # two methods that have a task in common


def test_a_point_marks_its_curves_and_its_row(visit, plain):
    page = visit(plain)
    click_point(page, "by-method", "vq mste trials", 3)
    row = trace(page, "by-method", "vq mste trials")["rows"][3]
    chosen = page.locator("#trial-table tr.chosen")
    assert chosen.get_attribute("data-row") == str(row)
    assert chosen.locator("button").get_attribute("aria-pressed") == "true"
    for plot in ("curves", "growth"):
        assert set(trace(page, plot, "selected trial")["rows"]) == {row}
    assert "Selected: vq mste" in page.locator("#selected").inner_text()
    page.get_by_role("button", name="Deselect").click()
    assert chosen.count() == 0
    assert trace(page, "curves", "selected trial") is None


def test_a_curve_marks_its_point_and_its_row(visit, plain):
    page = visit(plain)
    page.check("#each")
    page.locator("#curves").scroll_into_view_if_needed()
    click_point(page, "curves", "vq mste trial", 5)
    row = int(page.locator("#trial-table tr.chosen").get_attribute("data-row"))
    assert set(trace(page, "curves", "selected trial")["rows"]) == {row}
    values = [(one["x"], one["rows"]) for one in trials(page)]
    value = next(x[rows.index(row)] for x, rows in values if row in rows)
    assert trace(page, "by-method", "vq mste selected")["x"] == [value]
    # A row, with the keyboard.
    page.locator("button.trial").nth(2).focus()
    page.keyboard.press("Enter")
    assert set(trace(page, "curves", "selected trial")["rows"]) == {2}
    assert page.evaluate("document.activeElement.dataset.row") == "2"
    page.get_by_role("button", name="Show its row").click()
    assert page.evaluate("document.activeElement.dataset.row") == "2"


def compared(page, first, second, metric="nmse_db"):
    """What is said of two methods, and the rows of the table."""
    for control, label in (("#first", first), ("#second", second), ("#compare-metric", metric)):
        page.select_option(control, label=label)
    rows = page.locator("#compare-table tbody tr").evaluate_all("all => all.map(row => [...row.cells].map(c => c.textContent))")
    return page.locator("#compare-text").inner_text(), rows


def numbers_of(cell):
    return tuple(float(text.strip("[],+")) for text in cell.split())


def test_two_methods_are_compared_over_paired_seeds(visit, plain):
    page = visit(plain)
    text, rows = compared(page, "vq ste", "vq mste")
    assert [row[:3] for row in rows] == [["bits=6", "4", "1"], ["bits=8", "5", "0"], ["all tasks", "5", "1"]]
    assert "Student's interval of the paired differences, of this pair of methods alone; the verdict is not by it." in text
    table = load(plain.parent / "run").results
    wide = table[table["simulator.bits"] == 8].pivot(index="seed", columns="gradient", values="nmse_db")
    expected = paired_difference((wide["mste"] - wide["ste"]).to_numpy(float)).estimate
    assert numbers_of(rows[1][-1]) == pytest.approx(tuple(expected), rel=0.01)
    page.locator("#pairs-box summary").click()
    assert page.locator("#pairs tbody tr").count() == 10
    _, turned = compared(page, "vq mste", "vq ste")
    mean, low, high = numbers_of(rows[1][-1])
    assert numbers_of(turned[1][-1]) == (-mean, -high, -low)
    assert [row[3:5] for row in turned] == [[row[4], row[3]] for row in rows]
    assert "Choose two different methods" in compared(page, "vq ste", "vq ste")[0]


def test_verdicts_are_those_of_the_ranking(visit, tmp_path):
    run = write_run(tmp_path / "many", seeds=range(8), broken=[("ste", 6, 0)])
    report([run], tmp_path / "many.html")
    page = visit(tmp_path / "many.html")
    for metric in ("nmse_db", "mse", "excess_bits", "usage"):
        (found,) = rank(frame(load(run), metric, goal=True))
        for a, b in itertools.permutations(range(3), 2):
            text, _ = compared(page, found.standings[a].method, found.standings[b].method, metric)
            better = ("A better" if a < b else "B better") if found.significant(a, b) else "Not significant"
            assert f"{better}: Wilcoxon's signed-rank test over 8 seeds" in text
    assert "No verdict: nothing is ranked by gap_db" in compared(page, "vq ste", "vq mste", "gap_db")[0]
    # Five seeds of one task: Student's interval lies above zero, and yet nothing can be told.
    report([write_run(tmp_path / "run", bits=[6])], tmp_path / "few.html")
    page = visit(tmp_path / "few.html")
    text, rows = compared(page, "vq ste", "vq mste")
    assert numbers_of(rows[0][-1])[1] > 0
    assert "Cannot be told from 5 seeds: at least 7" in text
    assert "better:" not in text
    assert "cannot be told from 5 seeds, at least 7" in page.locator(".findings").inner_text()


def test_methods_of_two_rates_get_no_verdict(visit, tmp_path):
    runs = [
        write_run(tmp_path / "low", ["ste", "mste"], [6], range(8)),
        write_run(tmp_path / "high", ["noise", "nsvq"], [8], range(8)),
    ]
    report(runs, tmp_path / "r.html", within=["rate"])
    page = visit(tmp_path / "r.html")
    text, rows = compared(page, "vq ste", "vq noise")
    assert rows == []
    assert "No verdict: their rates differ: A has a rate of 6, B has a rate of 8" in text
    assert "better:" not in text
    assert "At a rate of 6: A better: Wilcoxon" in compared(page, "vq ste", "vq mste")[0]
    assert "At a rate of 8: B better: Wilcoxon" in compared(page, "vq nsvq", "vq noise")[0]


def test_metrics_are_told_in_words(visit, plain):
    page = visit(plain)
    words = "nmse_db (lower is better): mse over the power of the target, in dB"
    assert page.locator("#metric-words").inner_text() == page.locator("#compare-words").inner_text() == words
    page.select_option("#metric", "excess_bits")
    assert "the least rate that the distortion reached needs" in page.locator("#metric-words").inner_text()
    assert page.locator('#trial-table button[data-column="gap_db"]').get_attribute("title").startswith("gap_db (lower is")
    assert page.evaluate("document.getElementById('growth').layout.yaxis.title.text") == "encoder_growth, times"


def test_hostile_text_does_nothing(visit, hostile):
    page = visit(hostile)
    assert page.locator("h1").inner_text().startswith("<script>alert(1)</script>")
    assert page.locator("img, a[href^=javascript]").count() == 0
    assert page.locator("svg a").count() == 0
    page.check("#each")
    page.check("#every-column")
    page.locator("button.trial").first.click()
    page.locator("#methods-box summary").click()
    page.locator("#runs summary").click()
    page.select_option("#curve", HOSTILE)
    assert page.locator("pre").first.inner_text().startswith("<script>")
    for plot in ("by-method", "curves"):
        assert "<script>" in page.locator(f"#{plot} svg").first.text_content() + page.locator(f"#{plot}").text_content()
    click_point(page, "by-method", trace(page, "by-method", "diverged or failed")["name"])
    assert "<script>" in page.locator("#selected").inner_text()
    assert page.locator("script").count() == 3
    fits_a_phone(page)


def test_the_policy_stops_what_would_get_through(browser, plain, tmp_path):
    """Even an element that a mistake let into the page can run and fetch nothing."""
    inside = "<script>document.title = 'ran'</script><img src='https://example.org/x.png' onerror=\"document.title = 'ran'\">"
    (tmp_path / "r.html").write_text(plain.read_text().replace("<main>", f"<main>{inside}"))
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    asked = []
    page.route("https://**", lambda route: (asked.append(route.request.url), route.abort()))
    page.goto((tmp_path / "r.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    title = page.title()
    page.close()
    assert title == "test - QuantBench"
    assert asked == []


def fits_a_phone(page):
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_function("() => document.querySelector('#by-method .main-svg').getBoundingClientRect().right <= 375")
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    for plot in ("by-method", "curves", "rate", "growth", *(["ranks"] if page.locator("#ranks").is_visible() else [])):
        assert page.locator(f"#{plot}").bounding_box()["width"] <= 375


def test_a_phone_needs_no_horizontal_scrolling(visit, plain):
    page = visit(plain, width=375)
    page.locator("button.trial").first.click()
    page.locator("#methods-box summary").click()
    page.locator("#runs summary").click()
    fits_a_phone(page)


CONTRAST = """() => {
    const linear = part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4;
    const light = text => {
        const [red, green, blue] = text.match(/[0-9.]+/g).map(part => linear(part / 255));
        return .2126 * red + .7152 * green + .0722 * blue;
    };
    const behind = one => {
        const own = getComputedStyle(one).backgroundColor;
        return /, 0\\)$|transparent/.test(own) ? behind(one.parentElement) : own;
    };
    const ratio = one => {
        const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a);
        return [(a + .05) / (b + .05), one.tagName, one.textContent.slice(0, 40)];
    };
    const texts = 'h1,h2,h3,p,li,a,label,summary,caption,th,td,button:enabled,select,figcaption,strong,span';
    return [...document.querySelectorAll(texts)].filter(one => one.checkVisibility() && one.textContent.trim())
        .map(ratio).sort((a, b) => a[0] - b[0])[0];
}"""


def test_text_has_contrast_and_inputs_have_names(visit, plain):
    page = visit(plain, reduced_motion="reduce")
    page.locator("button.trial").first.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        least = page.evaluate(CONTRAST)
        assert least[0] >= 4.5, json.dumps([scheme, least])
    ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()")
    page.wait_for_function("ink => document.getElementById('growth').layout.font.color === ink", arg=ink)
    unnamed = (
        "all => all.filter(one => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map(one => one.outerHTML)"
    )
    assert page.locator("main input, main select, main button").evaluate_all(unnamed) == []
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


LINES = """() => ['by-method', 'curves', 'growth', 'rate', 'ranks'].flatMap(id => document.getElementById(id).data
    .filter(one => one.line?.width > 0).map(one => [id, one.name, one.line.color, one.opacity]))"""


def test_lines_are_seen_on_light_and_on_dark_pages(visit, tmp_path):
    gradients = ["ste", "mste", "noise", "soft_to_hard", "rotation", "nsvq", "diveq", "gumbel_st"]
    report([write_run(tmp_path / "run", gradients=gradients, bits=[6], seeds=range(2))], tmp_path / "r.html")
    page = visit(tmp_path / "r.html")
    for scheme, ground in (("light", LIGHT_GROUND), ("dark", DARK_GROUND)):
        page.emulate_media(color_scheme=scheme)
        ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()")
        page.wait_for_function("ink => document.getElementById('growth').layout.font.color === ink", arg=ink)
        found = page.evaluate(LINES)
        assert len({colour for _, _, colour, _ in found}) >= len(gradients)
        assert [one for one in found if one[3] < 1 or contrast(one[2], ground) < LEAST_CONTRAST] == [], scheme


def test_many_methods_are_grey_and_that_is_said(visit, tmp_path):
    gradients = [f"g{place:02d}" for place in range(20)]
    report([write_run(tmp_path / "run", gradients=gradients, bits=[6], seeds=range(2))], tmp_path / "r.html")
    page = visit(tmp_path / "r.html")
    page.locator("#methods-box summary").click()
    page.click("#methods-all")
    page.uncheck("#each")  # trials' own curves take the marks away
    styles = "document.getElementById('curves').data.filter(one => one.name.startsWith('vq') && one.marker)"
    looks = page.evaluate(f"{styles}.map(one => [one.line.color, one.marker.symbol, one.line.dash].join())")
    muted = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--muted').trim()")
    coloured = [one for one in looks if not one.startswith(muted)]
    assert (len(coloured), len(set(coloured)), len(looks)) == (15, 15, 20)
    assert "5 are grey: more than 15 cannot be told apart" in page.locator("#curves-text").inner_text()


def test_curves_have_the_axis_of_the_picture(visit, tmp_path):
    folder = write_run(tmp_path / "run", bits=[6], seeds=range(2))
    table = pd.read_csv(folder / "curves.csv")
    table.loc[table["metric"] == "mse", "value"] += 1.0  # 2 at the start, 1.0 to 1.2 after the first steps
    table.to_csv(folder / "curves.csv", index=False)
    report([folder], tmp_path / "r.html")
    page = visit(tmp_path / "r.html")
    limits = json.loads(page.locator("#data").text_content())["pictures"]["curves"]["mse"]["y"]["limits"]
    script = "document.getElementById('curves')._fullLayout.yaxis.range"
    assert page.evaluate(script) == pytest.approx(limits)
    assert 0.9 < limits[0] < limits[1] < 1.3
    page.check("#curve-log")
    assert page.evaluate(script) == pytest.approx([math.log10(end) for end in limits])
    assert "earlier ones of 33 lie outside" in page.locator("#curves-text").inner_text()


def test_findings_can_be_read_without_scripts(browser, plain):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(plain.as_uri())
    text = page.locator("main").inner_text()
    context.close()
    assert "Best by nmse_db" in text
    assert "need JavaScript" in text
