"""The moving part of the report: what travels in the page, how small, and that nothing breaks out of it."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

from polyvae.report import write_report
from polyvae.report.drawing import drawing_style
from polyvae.report.interactive import harmless_json, interactive_data
from polyvae.report.scripts import content_policy, page_scripts, page_style

INJECTIONS = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</SCRIPT >",
    "<!--",
    "-->",
    "<!--<script>",
    "]]>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><b>',
    "'><b>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "&lt;script&gt;",
    "&#60;b&#62;",
    "javascript:alert(1)",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "${alert(1)}",
    "`${alert(1)}`",
    "\\u003cscript\\u003e",
    "\\",
    "\u2028alert(1)\u2029",
    "\x00\x01\x1f",
    "\ud800",
    "\u202etxet desrever",
    "name\r\nATOM      1  CA",
    "__proto__",
    "a" * 500,
)


class _Page(HTMLParser):
    """Tags in order, the text of every script, and all other text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def _page(tmp_path, overview, **changes) -> str:
    path = write_report(tmp_path, summary={}, overview=overview, **changes)
    return path.read_text(encoding="utf-8")


def _unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_coordinates_come_back_to_a_step_of_their_range(overview):
    data = json.loads(harmless_json(interactive_data(overview)))
    for values, column in zip(
        [*overview.latent.T, overview.radius_of_gyration], data["columns"], strict=True
    ):
        width = column["high"] - column["low"]
        back = column["low"] + width * _unpacked(column["values"], "<u2") / 65_535
        np.testing.assert_allclose(back, values, atol=width / 65_535)
    np.testing.assert_array_equal(_unpacked(data["frames"], "<u4"), overview.frames)


def test_positions_come_back_to_a_step_of_the_extent(overview):
    data = interactive_data(overview)
    for structures, packed in zip(overview.structures, data["structures"], strict=True):
        back = _unpacked(packed["positions"], "<i2") * packed["scale"]
        np.testing.assert_allclose(
            back.reshape(structures.positions.shape), structures.positions, atol=0.51 * packed["scale"]
        )


def test_equal_steps_of_time_travel_as_two_numbers_and_others_whole(overview):
    assert interactive_data(overview)["times"] == {"first": 0.0, "step": 2.0}
    uneven = dataclasses.replace(overview, times=overview.times**1.5)
    np.testing.assert_array_equal(_unpacked(interactive_data(uneven)["times"]["values"], "<f8"), uneven.times)
    assert interactive_data(dataclasses.replace(overview, times=None))["times"] is None


def test_bins_without_a_frame_are_marked(overview):
    packed = interactive_data(overview)["surfaces"][0]
    energy = _unpacked(packed["energy"], "<i2").reshape(10, 10)
    assert energy[0, 0] == -1
    assert energy[3, 4] == 0
    assert energy[5, 5] == np.rint(1000 * overview.surfaces[0].energy[5, 5])


def test_one_latent_coordinate_is_enough(make_overview):
    overview = make_overview(n_latent=1)
    surface = dataclasses.replace(
        overview.surfaces[0],
        axes=(0,),
        edges=overview.surfaces[0].edges[:1],
        energy=np.zeros(10, np.float32),
        error=np.zeros(10, np.float32),
        badly_sampled=np.zeros(10, bool),
    )
    data = interactive_data(dataclasses.replace(overview, surfaces=(surface,)))
    assert data["names"] == ["z1", "radius of gyration"]
    assert data["surfaces"][0]["axes"] == [0]


@pytest.mark.parametrize("name", INJECTIONS)
def test_no_name_breaks_out_of_the_page(tmp_path, make_overview, peptide, name):
    topology = peptide(3)
    for atom in topology.atoms:
        atom.name = name
    for residue in topology.residues:
        residue.name = name
    overview = make_overview(dims=3, topology=topology)
    summary = {"data": {"source": name, "frames": 2, "atoms": 3, "selection": name}}
    path = write_report(
        tmp_path,
        summary=summary,
        overview=overview,
        provenance={"inputs": [{"name": name}], "command": name},
        missing=[name],
        title=name,
    )
    html = path.read_text(encoding="utf-8")
    page = _Page(html)
    clean = _Page(_page(tmp_path, make_overview(dims=3, topology=peptide(3)), title="x", overwrite=True))
    assert [tag for tag, _ in page.tags if tag in {"script", "img", "svg", "iframe"}] == [
        tag for tag, _ in clean.tags if tag in {"script", "img", "svg", "iframe"}
    ]
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert page.scripts[1:] == clean.scripts[1:]
    shown = name.encode("utf-8", "replace").decode() if name == "\ud800" else name
    data = json.loads(page.scripts[0])
    assert {atom[0] for atom in data["system"]["atoms"]} == {name}
    assert {atom[2] for atom in data["system"]["atoms"]} == {name}
    if name.isprintable():
        assert page.text.count(shown) >= 4


def test_json_for_a_script_holds_no_character_that_ends_it():
    text = harmless_json(list(INJECTIONS))
    assert json.loads(text) == list(INJECTIONS)
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")


def test_the_policy_names_every_script_and_lets_no_request_out(tmp_path, overview):
    html = _page(tmp_path, overview)
    page = _Page(html)
    (policy,) = [
        tag["content"] for name, tag in page.tags if name == "meta" and "Policy" in str(tag.get("http-equiv"))
    ]
    assert policy is not None
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]
    ]
    assert len(digests) == 2
    assert all(f"'sha256-{digest}'" in policy for digest in digests)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe-inline" not in re.findall(r"script-src [^;]*", policy)[0]
    assert "script-src 'none'" in content_policy(())


def test_the_page_asks_no_host_for_anything(tmp_path, overview):
    page = _Page(_page(tmp_path, overview))
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    ours = page.scripts[2]
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|WebSocket|import\(|sendBeacon", ours)
    assert "innerHTML" not in ours


def test_the_page_says_how_many_frames_it_shows(tmp_path, make_overview):
    overview = make_overview(n_frames=2_000_000, shown=20_000, n_structures=400, n_atoms=214, dims=3)
    path = write_report(tmp_path, summary={}, overview=overview)
    assert "20\u202f000 of 2\u202f000\u202f000 frames shown, 400 of them with their structure" in (
        path.read_text(encoding="utf-8")
    )
    assert path.stat().st_size < 4_000_000


def test_a_short_run_is_shown_whole(tmp_path, make_overview):
    html = _page(tmp_path, make_overview(n_frames=200, shown=200))
    assert "All 200 frames shown" in html


def test_systems_are_drawn_by_dimensions_names_and_size(make_overview, peptide):
    def style(**changes):
        return drawing_style(make_overview(**changes).system)

    assert style(dims=2) == "flat"
    assert style(dims=3) == "beads"
    assert style(dims=3, topology=peptide(3)) == "sticks"
    assert style(dims=3, topology=peptide(30)) == "cartoon"
    assert style(dims=3, topology=peptide(30, atoms=("CA",))) == "trace"
    assert style(dims=3, topology=peptide(700, atoms=("O",), residue="HOH")) == "lines"


def test_the_vendored_viewer_is_the_one_that_its_page_names():
    folder = files("polyvae.report").joinpath("vendor")
    digest = hashlib.sha256(folder.joinpath("3Dmol-min.js").read_bytes()).hexdigest()
    assert digest in folder.joinpath("README.md").read_text(encoding="utf-8")
    licenses = folder.joinpath("LICENSES.txt").read_text(encoding="utf-8")
    assert "BSD-3-Clause" in licenses
    assert "pako" in licenses
    assert "</script" not in "".join(page_scripts()).lower()


def test_every_copy_of_the_viewer_carries_its_licenses(tmp_path, overview):
    assert "University of Pittsburgh" in _page(tmp_path, overview)


def test_headings_descend_one_step_at_a_time_and_controls_have_names(tmp_path, overview):
    page = _Page(_page(tmp_path, overview))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tags = dict(page.tags)
    assert tags["html"]["lang"] == "en"
    for tag, attributes in page.tags:
        if tag == "canvas":
            assert attributes["tabindex"] == "0"
            assert attributes["aria-labelledby"]
        if tag == "img":
            assert attributes["alt"]


def _luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_words_stand_out_from_their_background_in_light_and_dark():
    light, dark, *_ = (
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{([^}]*)\}", page_style())
    )
    for colors in (light, dark):
        for ink in ("ink", "soft", "good", "fair", "poor", "unknown", "focus"):
            for ground in ("paper", "tint", "panel"):
                pair = sorted((_luminance(colors[ink]), _luminance(colors[ground])))
                # Of the Web Content Accessibility Guidelines 2.1, level AA.
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (ink, ground)
