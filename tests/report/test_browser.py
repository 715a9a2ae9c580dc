"""The report in a browser without a network: it draws, answers clicks and keys, and asks nobody for anything."""

import dataclasses
import json
import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import polyvae as pv
from polyvae.report import write_report

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    _CHROMIUM is None or _DRIVER is None, reason="Chromium and chromedriver are not on the PATH"
)

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1200,1000",
)
_SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
_NO_WEBGL = ("--disable-gpu", "--disable-3d-apis")


def _start(folder: Path, flags: tuple[str, ...]):
    options = webdriver.ChromeOptions()
    for flag in (*_FLAGS, *flags, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.binary_location = _CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    folder.mkdir(exist_ok=True)
    service = webdriver.ChromeService(executable_path=_DRIVER, log_output=str(folder / "driver.log"))
    browser = webdriver.Chrome(options=options, service=service)
    browser.set_script_timeout(60)
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    return browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium with WebGL in software, and no network."""
    browser = _start(tmp_path_factory.mktemp("chromium"), _SOFTWARE_WEBGL)
    yield browser
    browser.quit()


def _of_trajectory(overview, trajectory):
    """The overview with frames of a real trajectory as its structures."""
    data = overview.structures[0]
    positions = trajectory.positions[:: len(trajectory) // len(data.positions)][: len(data.positions)]
    positions = positions - positions.mean(axis=1, keepdims=True)
    shown = dataclasses.replace(data, positions=positions, reconstructed=positions * np.float32(1.02))
    drawn = dataclasses.replace(overview.structures[1], positions=positions[:4])
    return dataclasses.replace(overview, structures=(shown, drawn), system=trajectory[:1])


@pytest.fixture
def overview_named(make_overview, peptide):
    """An overview by name: the bundled polymer, alanine dipeptide, beads in space, a protein of 214 residues."""

    def make(name: str):
        if name == "polymer":
            return _of_trajectory(make_overview(), pv.load(pv.bundled("polymer_2d.npz")))
        if name == "alanine dipeptide":
            top = pv.bundled("alanine_dipeptide.pdb")
            trajectory = pv.load(pv.bundled("alanine_dipeptide.xtc"), top=top, stride=100)
            return _of_trajectory(make_overview(dims=3), trajectory)
        if name == "beads":
            return make_overview(dims=3)
        atoms = ("CA",) if name == "alpha carbons" else ("N", "CA", "C", "O")
        return make_overview(dims=3, topology=peptide(214, atoms=atoms))

    return make


def _open(browser, folder: Path, overview, **changes) -> None:
    path = write_report(folder, summary={}, overview=overview, overwrite=True, **changes)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())


def _requests(browser) -> list[str]:
    """Addresses asked for since the last look, but for the page itself and what lies in it."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in urls if not re.match(r"(file|data|blob):", url)]


def _picture(browser, selector: str) -> np.ndarray:
    return imread(BytesIO(browser.find_element("css selector", selector).screenshot_as_png))


def _colors(picture: np.ndarray) -> int:
    return len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0))


def _shown(browser) -> dict:
    return browser.execute_script("return window.polyvaeReport.shown")


def _click(browser, selector: str, x: float, y: float) -> None:
    """Click at these shares of the width and height."""
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    size = element.size
    actions = webdriver.ActionChains(browser)
    actions.move_to_element_with_offset(
        element, (x - 0.5) * size["width"], (y - 0.5) * size["height"]
    ).click().perform()


@pytest.mark.parametrize("name", ["polymer", "alanine dipeptide", "beads", "alpha carbons", "backbone"])
def test_a_click_on_the_map_shows_another_structure_and_nothing_is_asked_for(
    browser, tmp_path, overview_named, name
):
    _open(browser, tmp_path, overview_named(name))
    before, frame = _picture(browser, "#stage"), _shown(browser)["frame"]
    assert _colors(before) > 10
    assert _colors(_picture(browser, "#map")) > 10
    assert _colors(_picture(browser, "#time")) > 5
    seen = {frame}
    for x, y in ((0.3, 0.3), (0.6, 0.6), (0.5, 0.2)):
        _click(browser, "#map", x, y)
        seen.add(_shown(browser)["frame"])
    assert len(seen) >= 3
    assert not np.array_equal(before, _picture(browser, "#stage"))
    note = browser.find_element("css selector", "#structure-note").text
    assert f"frame {_shown(browser)['frame']}" in note
    assert browser.find_element("css selector", "#no-webgl").is_displayed() is False
    assert browser.get_log("browser") == []
    assert _requests(browser) == []


@pytest.mark.parametrize("name", ["polymer", "alanine dipeptide"])
def test_the_pointer_on_a_frame_shows_its_numbers_and_a_structure(browser, tmp_path, overview_named, name):
    _open(browser, tmp_path, overview_named(name))
    # The page begins with a frame whose own structure it holds.
    assert "itself" in browser.find_element("css selector", "#structure-note").text
    assert browser.find_element("css selector", "#map-tip").is_displayed() is False
    place = browser.execute_script(
        "const {map, point} = window.polyvaeReport; map.canvas.scrollIntoView({block: 'center'});"
        "const [x, y] = map.axes.map((axis) => map.run.columns[axis][point]);"
        "return [map.scale.x(x) - map.canvas.clientWidth / 2, map.scale.y(y) - map.canvas.clientHeight / 2];"
    )
    actions = webdriver.ActionChains(browser)
    actions.move_to_element_with_offset(browser.find_element("css selector", "#map"), *place).perform()
    tip = browser.find_element("css selector", "#map-tip")
    assert tip.is_displayed()
    assert "radius of gyration" in tip.text
    assert "structure" in tip.find_element("css selector", "figcaption").text
    assert _colors(_picture(browser, "#map-tip canvas")) > 10
    assert browser.get_log("browser") == []


def test_time_keys_and_numbers_choose_frames_too(browser, tmp_path, overview_named):
    _open(browser, tmp_path, overview_named("polymer"))
    point = "return window.polyvaeReport.point"
    _click(browser, "#time", 0.9, 0.5)
    late = browser.execute_script(point)
    assert late > 120
    keys = webdriver.Keys
    timeline, latent_map = (browser.find_element("css selector", name) for name in ("#time", "#map"))
    timeline.send_keys(keys.ARROW_LEFT)
    assert browser.execute_script(point) == late - 1
    timeline.send_keys(keys.HOME)
    assert browser.execute_script(point) == 0
    latent_map.send_keys(keys.ARROW_RIGHT)
    latent_map.send_keys(keys.ARROW_LEFT)
    latent_map.send_keys(keys.ARROW_UP)
    assert browser.execute_script(point) > 0
    number = browser.find_element("css selector", "#frame")
    number.clear()
    number.send_keys("399", keys.TAB)
    assert browser.find_element("css selector", "#readout dd").text == "399"
    browser.find_element("css selector", "#previous").click()
    assert browser.execute_script(point) == 198


def test_generated_structures_and_reconstructions_are_drawn(browser, tmp_path, overview_named):
    _open(browser, tmp_path, overview_named("beads"))
    alone = _picture(browser, "#stage")
    browser.find_element("css selector", "#show-reconstruction").click()
    assert not np.array_equal(alone, _picture(browser, "#stage"))
    assert "RMSD" in browser.find_element("css selector", "#structure-note").text
    browser.find_element("css selector", "input[value=generated]").click()
    assert _shown(browser)["set"] == "generated"
    first = _picture(browser, "#stage")
    browser.find_element("css selector", "#next").click()
    assert _shown(browser)["item"] == 1
    assert not np.array_equal(first, _picture(browser, "#stage"))
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("color", ["energy", "0", "3"])
def test_every_way_to_color_and_every_axis_draws(browser, tmp_path, overview_named, color):
    _open(browser, tmp_path, overview_named("polymer"))
    script = "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
    browser.execute_script(script + "s.dispatchEvent(new Event('change'))", "map-color", color)
    browser.execute_script(script + "s.dispatchEvent(new Event('change'))", "map-y", "2")
    assert _colors(_picture(browser, "#map")) > 10
    assert browser.get_log("browser") == []


def test_a_phone_needs_no_scrolling_to_the_side(browser, tmp_path, overview_named):
    provenance = {
        "command": "polyvae run " + "x" * 200,
        "inputs": [{"name": "/a/" + "b" * 90, "sha256": "f" * 64}],
    }
    phone = {"width": 375, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        _open(browser, tmp_path, overview_named("beads"), provenance=provenance, title="t" * 80)
        width = "return document.documentElement.scrollWidth"
        assert browser.execute_script(width) <= 375
        assert _colors(_picture(browser, "#map")) > 10
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_names_of_atoms_run_nothing(browser, tmp_path, make_overview, peptide):
    names = (
        "</script><script>window.hit = 1</script>",
        "<img src=x onerror='window.hit = 1'>",
        "\u2028",
        "`${1}`",
    )
    topology = peptide(20)
    for index, atom in enumerate(topology.atoms):
        atom.residue.name = names[index % len(names)]
    overview = make_overview(dims=3, topology=topology)
    _open(browser, tmp_path, overview, title=names[0], missing=names)
    assert browser.execute_script("return window.hit === undefined")
    assert browser.title == names[0]
    assert browser.get_log("browser") == []
    assert _requests(browser) == []


def test_without_webgl_structures_are_drawn_all_the_same(tmp_path, overview_named):
    browser = _start(tmp_path / "chromium", _NO_WEBGL)
    try:
        _open(browser, tmp_path, overview_named("beads"))
        assert browser.find_element("css selector", "#no-webgl").is_displayed()
        before = _picture(browser, "#stage")
        assert _colors(before) > 10
        browser.find_element("css selector", "#turn-left").click()
        assert not np.array_equal(before, _picture(browser, "#stage"))
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
