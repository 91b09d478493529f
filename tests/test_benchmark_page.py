# SPDX-License-Identifier: BSD-3-Clause
"""The HTML report in a browser, from disk: sorting, filters, hover, dark, a phone's width."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnkern.benchmark.page import write_page
from tests.support.results import HOSTILE, LAYERS, result, row

Open = Callable[..., Any]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="neither chromium nor google-chrome is on the path"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(result(), path)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def load(browser: Any) -> Iterator[Open]:
    """Opens a file; at the end no page may have asked for anything else, or have complained."""
    complaints: list[str] = []

    def open_page(path: Path, **options: Any) -> Any:
        size = {"viewport": {"width": 1280, "height": 900}}
        page = browser.new_context(**(size | options)).new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: request.url == path.as_uri() or complaints.append(request.url),
        )
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelector('#roofline .main-svg, #roofline[hidden]')")
        return page

    yield open_page
    assert complaints == []


@pytest.fixture(scope="module")
def desktop(report: Path, load: Open) -> Any:
    return load(report)


@pytest.fixture
def page(desktop: Any) -> Any:
    """The report without a filter, in the order of its rows."""
    desktop.evaluate("form.reset(); filter(); table.tBodies[0].replaceChildren(...rows)")
    return desktop


def wait_for_count(page: Any, count: int, of: int = 20) -> None:
    page.wait_for_function(
        f"document.querySelector('#count').textContent === '{count} of {of} rows'"
    )


def column(page: Any, title: str) -> list[str]:
    """The first lines of the shown cells of a column."""
    script = """title => {
        const at = headers.findIndex(header => header.textContent === title);
        return [...table.tBodies[0].rows].filter(row => !row.hidden)
          .map(row => row.cells[at].firstChild.textContent);
    }"""
    return page.evaluate(script, title)


def sort(page: Any, title: str, key: str | None = None) -> str:
    """Clicks a header, or presses a key on it, and returns the sorting that it then claims."""
    header = page.locator("#rows th", has_text=title).first
    button = header.locator("button")
    button.press(key) if key else button.click()
    return header.get_attribute("aria-sort")


def test_one_file_holds_everything(report: Path) -> None:
    text = report.read_text()
    for words in ("Test CPU &lt;9&gt;", "float32 200 GFLOP/s", "2026-11-21 17:30 UTC", "abc123"):
        assert words in text
    assert "no memory for &lt;it&gt;" in text
    # Of a name that would end the script, or be an element, nothing is left as it is.
    assert "a[red]b</script>" not in text
    assert "<b>|x" not in text
    assert [p.name for p in report.parent.iterdir()] == ["report.html"]


def test_unwritable_place_is_an_error_and_leaves_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        write_page(result(), tmp_path / "nowhere" / "report.html")


@needs_browser
def test_columns_sort_by_number_and_by_name(page: Any) -> None:
    assert sort(page, "torch / ours") == "ascending"
    shown = column(page, "torch / ours")
    numbers = [float(text) for text in shown if text != "-"]
    assert numbers == sorted(numbers)
    assert shown[-2:] == ["-", "-"]  # failed and refused rows stay last, either way
    assert sort(page, "torch / ours") == "descending"
    shown = column(page, "torch / ours")
    assert (shown[0], shown[-1]) == ("8.00", "-")
    assert sort(page, "layer", "Enter") == "ascending"
    names = [name.split(" ", 1)[1] for name in column(page, "layer")]
    assert names[0] == HOSTILE
    assert names[1:] == sorted(names[1:])
    ratio = page.locator("#rows th", has_text="torch / ours").first
    assert ratio.get_attribute("aria-sort") == "none"


@needs_browser
def test_filters_hide_rows_and_points(page: Any) -> None:
    points = "plot.data.filter(trace => trace.customdata).reduce((n, t) => n + t.x.length, 0)"
    wait_for_count(page, 20)
    assert page.evaluate(points) == 18  # two were not timed
    page.fill("input[name=words]", "DEPTHWISE channels_last")
    wait_for_count(page, 2)
    assert [name[2:] for name in column(page, "layer")] == ["depthwise"] * 2
    assert page.evaluate(points) == 2
    page.select_option("select[name=direction]", "input_grad")
    wait_for_count(page, 1)
    page.evaluate("form.reset()")
    page.select_option("select[name=format]", "channels_last")
    wait_for_count(page, 8)
    page.select_option("select[name=format]", "contiguous")
    page.select_option("select[name=verdict]", "failed")
    wait_for_count(page, 1)
    assert column(page, "verdict") == ["✗ failed"]
    assert "3 of 9 values differ" in page.locator("#rows tbody tr:not([hidden])").inner_text()


@needs_browser
def test_hover_names_the_layer_and_a_click_finds_its_row(page: Any) -> None:
    page.select_option("select[name=suite]", "other")
    wait_for_count(page, 1)
    page.locator("#roofline").scroll_into_view_if_needed()
    box = page.locator("#roofline .scatterlayer .points path").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = page.locator(".hoverlayer .hovertext")
    hover.wait_for()
    for words in (HOSTILE, LAYERS["conv1"][0], "forward", "100 us", "torch / ours 4.00", "20 %"):
        assert words in hover.text_content()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("tr.found")
    assert HOSTILE in page.locator("tr.found").inner_text()


@needs_browser
def test_columns_stand_below_their_titles(page: Any) -> None:
    script = """() => rows.concat(table.tHead.rows[0]).map(row =>
        [...row.cells].map(cell => Math.round(cell.getBoundingClientRect().left)).join())"""
    assert len(set(page.evaluate(script))) == 1
    # And no text is wider than its column.
    script = "() => [...table.querySelectorAll('td')].filter(c => c.scrollWidth > c.clientWidth)"
    assert page.evaluate(script) == []


@needs_browser
def test_dark_is_dark_and_follows_a_change(page: Any) -> None:
    def brightest() -> list[int]:
        script = """() => [plot.layout.paper_bgcolor, ...["body", "#rows th", "#rows thead"].map(
            name => getComputedStyle(document.querySelector(name)).backgroundColor)]"""
        return [brightness(colour) for colour in page.evaluate(script)]

    def brightness(colour: str) -> int:
        if colour.startswith("#"):
            return max(bytes.fromhex(colour[1:]))
        return max(map(int, colour[4:-1].split(",")[:3]))

    assert min(brightest()) > 230
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("plot.layout.paper_bgcolor !== '#ffffff'")
    assert max(brightest()) < 60
    page.emulate_media(color_scheme="light")
    page.wait_for_function("plot.layout.paper_bgcolor === '#ffffff'")


@needs_browser
def test_a_phone_shows_it_without_scrolling_the_page_sideways(report: Path, load: Open) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    page = load(report, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("plot.clientWidth") <= 360
    box = page.locator("#box")
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")  # the table scrolls in its box
    name = page.locator("#rows tbody th").first
    before = name.bounding_box()["x"]
    box.evaluate("box => { box.scrollLeft = 200; }")
    assert name.bounding_box()["x"] == before  # and the layer stays in sight


@needs_browser
def test_three_thousand_rows_sort_within_a_second(tmp_path: Path, load: Open) -> None:
    rows = [
        row(layer, name=f"{layer}.{i}", times_us={"cnnkern": [i % 977 + 1.0], "torch": [500.0]})
        for i in range(750)
        for layer in LAYERS
    ]
    write_page(result(*rows), tmp_path / "large.html")
    page = load(tmp_path / "large.html")
    script = """() => {
        const start = performance.now();
        sortBy(headers.findIndex(header => header.textContent === "time"), true);
        table.getBoundingClientRect();  // with the layout that it needs
        return performance.now() - start;
    }"""
    assert page.evaluate(script) < 1000
    assert column(page, "time")[0] == "750 us"
    page.fill("input[name=words]", "conv1.74")
    wait_for_count(page, 11, 3000)


@needs_browser
def test_a_result_without_a_time_still_opens(tmp_path: Path, load: Open) -> None:
    nothing = result(row("conv1", verdict="refused", note="no memory", times_us={}), limits={})
    write_page(nothing, tmp_path / "nothing.html")
    page = load(tmp_path / "nothing.html")
    assert not page.locator("#roofline").is_visible()
    assert "no memory" in page.locator("#rows").inner_text()
