"""The report page in a real browser: quiet, alone, quick, and it does what it shows."""

from __future__ import annotations

import base64
import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="the browser tests need selenium, of the dev group")
from browser import Tab, open_browser, wait
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from synthetic import PLAIN, make_run

from hptune.reporting.page import render_page

HOSTILE = '<img src=x onerror="document.title=1">{a|b}'
CALM, PHONE = 1280, 390


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of made runs: of a common size, of a thousand trials, of thirty dimensions, full of hostile names."""
    root = tmp_path_factory.mktemp("runs")
    hostile = copy.deepcopy(dict(PLAIN))
    hostile["data"] = {"source": f"{HOSTILE}.csv", "target": HOSTILE}
    hostile["training"]["class_weight"] = {"values": ["none", {HOSTILE: 1.0, "b": 2.0}]}
    wide = copy.deepcopy(dict(PLAIN))
    wide["model"] |= {"blocks": {"min": 1, "max": 20}, "units": {"values": [32, 64, 128]}}
    wide["model"]["dropout"] = {"min": 0.0, "max": 0.5, "per_block": True}
    found = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    sizes: dict[str, tuple[int, Any, str]] = {
        "wide": (40, wide, "out of memory"),
        "common": (60, PLAIN, "out of memory"),
        "large": (1000, PLAIN, "out of memory"),
        "hostile": (30, hostile, HOSTILE),
    }
    for name, (trials, plain, failure) in sizes.items():
        folder = make_run(root / name, trials, plain=plain, failure=failure)
        found[name] = root / f"{name}.html"
        found[name].write_text(render_page(folder), encoding="utf-8")
    patch.undo()
    return found


@pytest.fixture
def tab(chrome: Any, pages: dict[str, Path]) -> Tab:
    return Tab(chrome, pages["common"], CALM)


def bright(tab: Tab) -> int:
    """Brightness of the page's ground, 0 to 255."""
    colour: str = tab.run("return getComputedStyle(document.body).backgroundColor")
    return int(colour.split("(")[1].split(",")[0])


@pytest.mark.parametrize("width", [CALM, PHONE])
@pytest.mark.parametrize("name", ["common", "large", "wide", "hostile"])
def test_a_page_draws_all_its_figures_in_silence_and_alone(
    chrome: Any, pages: dict[str, Path], name: str, width: int
) -> None:
    tab = Tab(chrome, pages[name], width)

    tab.run("hptune.page.drawAll()")
    drawn = tab.run("return [...hptune.page.charts.keys()].sort()")

    wanted = sorted(tab.run("return [...document.querySelectorAll('[data-figure]')].map((e) => e.dataset.figure)"))
    assert drawn == wanted
    assert len(drawn) >= 9
    assert tab.complaints() == []
    assert tab.requests() == [pages[name].as_uri()]
    assert tab.run("return document.documentElement.scrollWidth") <= width


def test_where_nothing_has_a_score_the_figures_say_so(chrome: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(render_page(make_run(tmp_path / "empty", 0, is_finished=False)), encoding="utf-8")
    tab = Tab(chrome, path, CALM)

    tab.run("hptune.page.drawAll()")
    said = tab.run("return [...hptune.page.charts].map(([name, chart]) => [name, chart.getOption().title?.[0]?.text])")

    assert tab.complaints() == []
    assert {text for name, text in said if name != "timeline"} == {"No trial has a score yet"}


def test_a_thousand_trials_load_in_less_than_two_seconds(chrome: Any, pages: dict[str, Path]) -> None:
    tab = Tab(chrome, pages["large"], CALM)

    loaded_ms = tab.run("return performance.getEntriesByType('navigation')[0].loadEventEnd")

    assert loaded_ms < 2000
    assert tab.texts("#count") == ["1000 trials"]


def test_no_figure_is_empty(tab: Tab) -> None:
    tab.run("hptune.page.drawAll()")

    inked = tab.run(
        """return Object.fromEntries([...hptune.page.charts].map(([name, chart]) => {
            const canvas = chart.getDom().querySelector("canvas");
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let place = 3; place < pixels.length; place += 4) count += pixels[place] > 0;
            return [name, count];
        }))"""
    )

    assert min(inked.values()) > 1000, inked


def test_a_click_on_a_heading_sorts_and_another_turns_round(tab: Tab) -> None:
    head = next(
        button for button in tab.chrome.find_elements(By.CSS_SELECTOR, "#board thead button") if "rate" in button.text
    )

    head.click()
    up = [float(cell) for cell in tab.column("learning_rate")]
    head.click()
    down = [float(cell) for cell in tab.column("learning_rate")]

    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert up != down
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


def test_the_filter_takes_comparisons_and_words(tab: Tab) -> None:
    box = tab.chrome.find_element(By.ID, "filter")

    box.send_keys("learning_rate<0.01 units=64")
    rates, units = tab.column("learning_rate"), tab.column("units")
    box.clear()
    box.send_keys("out_of_mem")

    assert rates
    assert all(float(rate) < 0.01 for rate in rates)
    assert set(units) == {"64"}
    assert tab.texts("#count") == ["2 of 60 trials"]
    assert set(tab.column("status")) == {"out_of_memory"}


def test_the_leaderboard_is_turned_page_by_page(tab: Tab) -> None:
    first = tab.column("trial")

    tab.chrome.find_element(By.ID, "next").click()

    assert len(first) == 25
    assert not set(first) & set(tab.column("trial"))
    assert tab.texts("#page") == ["page 2 of 3"]


def test_a_chosen_trial_shows_its_curve(tab: Tab) -> None:
    button = tab.chrome.find_elements(By.CSS_SELECTOR, "#board tbody button")[6]

    button.click()
    tab.run("hptune.page.draw('curves')")
    names = tab.run("return hptune.page.charts.get('curves').getOption().series.map((line) => line.name)")

    assert set(names) == {f"trial {button.text}"}
    assert button.get_attribute("aria-pressed") == "true"


def test_brushing_an_axis_filters_the_leaderboard_until_it_is_cleared(tab: Tab) -> None:
    tab.run("hptune.page.draw('parallel')")
    place = tab.chrome.find_element(By.CSS_SELECTOR, "[data-figure=parallel]")
    tab.run("arguments[0].scrollIntoView({block: 'center'})", place)
    x, top, bottom, width, height = tab.run(
        """const chart = hptune.page.charts.get("parallel"), dom = chart.getDom();
        const column = hptune.data.axes.findIndex((axis) => axis.label === "dropout");
        const system = chart.getModel().getComponent("parallel").coordinateSystem;
        const place = (value) => system.dataToPoint(value, `dim${column}`);
        return [place(0)[0], place(0.5)[1], place(0.25)[1], dom.clientWidth, dom.clientHeight];"""
    )

    drag = ActionChains(tab.chrome).move_to_element_with_offset(place, x - width / 2, top - height / 2 + 1)
    drag.click_and_hold().move_by_offset(0, int((bottom - top) / 2)).move_by_offset(
        0, int((bottom - top) / 2)
    ).release().perform()
    wait(lambda: tab.texts("#count") != ["60 trials"])
    brushed = [float(cell) for cell in tab.column("dropout")]
    clear = tab.chrome.find_element(By.ID, "clear-brush")
    tab.run("arguments[0].scrollIntoView({block: 'center'})", clear)
    clear.click()

    assert brushed
    assert min(brushed) > 0.2
    assert tab.texts("#count") == ["60 trials"]


def test_of_many_dimensions_the_most_important_stand_side_by_side(chrome: Any, pages: dict[str, Path]) -> None:
    tab = Tab(chrome, pages["wide"], CALM)

    drawn = tab.run("return hptune.figures.parallel({narrow: false}).parallelAxis.map((axis) => axis.name)")

    assert len(tab.run("return hptune.data.axes")) == 27
    assert len(drawn) == 17
    assert {"learning_rate", "accuracy"} < set(drawn)
    assert "Of 27 dimensions the 16 most important are drawn." in tab.run("return document.body.textContent")


def test_hovering_a_dot_tells_of_its_trial(tab: Tab) -> None:
    tab.run("hptune.page.draw('slice')")
    place = tab.chrome.find_element(By.CSS_SELECTOR, "[data-figure=slice]")
    tab.run("arguments[0].scrollIntoView({block: 'center'})", place)
    x, y, index, width, height = tab.run(
        """const chart = hptune.page.charts.get("slice"), dom = chart.getDom();
        const point = chart.getOption().series[0].data.at(-1);
        const [x, y] = chart.convertToPixel({ seriesIndex: 0 }, point.slice(0, 2));
        return [x, y, point[2], dom.clientWidth, dom.clientHeight];"""
    )
    tab.run(
        """hptune.shown = [];
        const real = hptune.describeTrial;
        hptune.describeTrial = (index) => { hptune.shown.push(real(index)); return real(index); };"""
    )

    ActionChains(tab.chrome).move_to_element_with_offset(place, x - width / 2, y - height / 2).perform()
    wait(lambda: tab.run("return hptune.shown.length > 0"))

    number = tab.run("return hptune.data.trials.number[arguments[0]]", index)
    assert tab.run("return hptune.shown[0]").startswith(f"trial {number}, completed\naccuracy 0.")


def test_the_theme_can_be_turned_and_is_kept(tab: Tab) -> None:
    before = bright(tab)

    tab.chrome.find_element(By.ID, "theme").click()
    after = bright(tab)
    tab.chrome.refresh()
    kept = bright(tab)
    tab.chrome.find_element(By.ID, "theme").click()

    assert abs(before - after) > 150
    assert kept == after
    assert bright(tab) == before


def test_over_time_and_over_trials_the_best_is_the_same(tab: Tab) -> None:
    best = "const line = hptune.figures.history({axis: arguments[0]}).series[1].data; return line.at(-1)[1]"

    assert tab.run(best, "time") == tab.run(best, "trial") == tab.run("return hptune.data.trials.score[0]")


def test_hostile_names_are_text(chrome: Any, pages: dict[str, Path]) -> None:
    tab = Tab(chrome, pages["hostile"], CALM)
    tab.run("hptune.page.drawAll()")

    column = tab.run("return hptune.data.axes.findIndex((axis) => axis.label === 'class_weight')")
    tab.run("document.getElementById('slice-x').value = arguments[0]; hptune.page.draw('slice')", str(column))

    assert tab.chrome.title == "hostile - hptune"
    assert tab.run("return document.images.length") == 0
    assert any(HOSTILE in text for text in tab.texts("#failures td"))
    assert json.dumps({HOSTILE: 1.0, "b": 2.0}, ensure_ascii=False) in tab.column("class_weight")
    assert tab.complaints() == []


def test_every_control_has_a_name_and_text_has_contrast(tab: Tab) -> None:
    tab.run("hptune.page.drawAll()")

    nameless = tab.run(
        """return [...document.querySelectorAll("button, select, input, [role=img], [role=region]")].filter((e) =>
            !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    )

    assert nameless == []
    for theme in ("light", "dark"):
        tab.run("document.documentElement.dataset.theme = arguments[0]", theme)
        for ink in ("ink", "quiet", "accent"):
            for ground in ("back", "card"):
                assert (
                    contrast(*(tab.run("return hptune.theme.colour(arguments[0])", name) for name in (ink, ground)))
                    >= 4.5
                )


def contrast(first: str, second: str) -> float:
    """Contrast of two colours by WCAG 2.2, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [CALM, PHONE])
def test_a_picture_is_taken_for_people_to_look_at(chrome: Any, pages: dict[str, Path], width: int, theme: str) -> None:
    tab = Tab(chrome, pages["common"], width)
    folder = Path(os.environ.get("HPTUNE_SCREENSHOTS", pages["common"].parent))
    folder.mkdir(parents=True, exist_ok=True)
    if tab.run("return document.documentElement.dataset.theme") != theme:
        tab.chrome.find_element(By.ID, "theme").click()

    height = tab.run("hptune.page.drawAll(); return document.documentElement.scrollHeight")
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    tab.run("hptune.page.drawAll()")
    picture = base64.b64decode(chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    (folder / f"report-{width}-{theme}.png").write_bytes(picture)

    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000


def test_on_paper_the_controls_are_gone_and_every_figure_is_drawn(tab: Tab) -> None:
    figures = tab.run("return document.querySelectorAll('[data-figure]').length")
    before = tab.run("return hptune.page.charts.size")

    pdf = base64.b64decode(tab.chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    after = tab.run("return hptune.page.charts.size")
    tab.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = tab.run("return [...document.querySelectorAll('nav, .controls, #theme')].filter((e) => e.offsetHeight)")
    tab.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    assert pdf.startswith(b"%PDF")
    assert before < after == figures
    assert shown == []
