import base64
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from polyvae.errors import InputError
from polyvae.report import ReportFigure, run_figures, write_report

SUMMARY = {
    "data": {
        "frames": 20_000,
        "atoms": 12,
        "dims": 2,
        "units": "reduced",
        "time_step": 2.0,
        "time_unit": "τ",
    },
    "training": {"status": "finished", "epochs": 10, "best_epoch": 9, "kl_per_dimension": [1.5, 1.0]},
    "reconstruction": {
        "rmsd": 0.4,
        "pca_rmsd": 0.5,
        "mean_structure_rmsd": 1.0,
        "ratio_to_pca": 0.8,
        "unit": "σ",
    },
    "likelihood": {"vae_iwae": -7.5, "gaussian": -8.5, "gaussian_chain": -10.0, "samples": 1000, "rate": 2.5},
    "marginals": {"w1_mean": 0.02, "floor_w1_mean": 0.01, "ratio_to_floor": 2.0, "w1_max": 0.1, "unit": "σ"},
    "latent": {"largest_step_fraction": 0.1, "span": [4.0, 5.0]},
    "compact": {"starts": 100, "valid": 95, "best": 1.1, "data_minimum": 1.2, "unit": "σ"},
}


class _Page(HTMLParser):
    """Tags with their attributes, and all text outside the style."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "img", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _png(path: Path, *, width: int = 200, height: int = 100, padding: int = 0) -> Path:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(height * (width + 1))))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"tEXt", b"x\0" + bytes(padding)) + chunk(b"IEND", b"")
    )
    return path


def _figure(path: Path | None, **changes: str) -> ReportFigure:
    return ReportFigure(**{"title": "Map", "caption": "Where.", "alt": "A map.", **changes}, path=path)


def test_page_has_all_sections_and_every_table(tmp_path):
    path = write_report(tmp_path, summary=SUMMARY, provenance={"polyvae": "0.1.0"})
    page = _Page(path)
    assert path == tmp_path / "report.html"
    assert [section["id"] for section in page.of("section")] == [
        *("short", "answers", "tables", "figures", "provenance")
    ]
    assert len(page.of("li")) >= len(SUMMARY)
    for title in (
        "Reconstruction of held-out",
        "Pair distances",
        "Log-likelihood",
        "Compact",
        "Training",
        "Data",
    ):
        assert title in page.words
    assert page.open == []


def test_numbers_stand_with_units_floor_and_baselines(tmp_path):
    words = _Page(write_report(tmp_path, summary=SUMMARY)).words
    assert "20\u202f000 conformations of 12 atoms in 2 dimensions" in words
    assert "2.0 times the noise floor of 0.0100 σ" in words
    assert "0.400 σ RMSD, against 0.500 σ for PCA" in words
    assert "K = 1000" in words
    assert "−2.50" in words


def test_page_asks_no_host_for_anything(tmp_path):
    path = write_report(tmp_path, summary=SUMMARY, figures=[_figure(_png(tmp_path / "a.png"))])
    page = _Page(path)
    assert not [tag for tag, _ in page.tags if tag in {"script", "iframe", "object"}]
    assert [link["href"] for link in page.of("link")] == ["data:,"]
    sources = [
        attributes.get(name) for _, attributes in page.tags for name in ("src", "href", "srcset", "data")
    ]
    sources = [source for source in sources if source not in {None, "data:,"} and not source.startswith("#")]
    assert len(sources) == 1
    assert sources[0].startswith("data:image/png;base64,")
    style = path.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_figures_are_embedded_whole_with_caption_alt_and_size(tmp_path):
    source = _png(tmp_path / "a.png", width=1000, height=500)
    page = _Page(write_report(tmp_path, summary={}, figures=[_figure(source)]))
    (image,) = page.of("img")
    assert base64.b64decode(image["src"].split(",")[1]) == source.read_bytes()
    assert (image["alt"], image["width"], image["height"]) == ("A map.", "720", "360")
    assert "Where." in page.words


def test_names_are_escaped(tmp_path):
    bad = '<script>alert("x")</script>&'
    summary = {
        "data": {"source": bad, "frames": 2, "atoms": 3},
        "training": {"status": bad},
        "compact": {"starts": 1, "valid": 1, "best": 1.0, "data_minimum": 2.0, "unit": bad},
    }
    figures = [_figure(_png(tmp_path / "a.png"), title=bad, caption=bad, alt=bad)]
    provenance = {bad: [bad, bad], "inputs": [{"path": bad}]}
    path = write_report(tmp_path, summary=summary, figures=figures, provenance=provenance, title=bad)
    page = _Page(path)
    assert page.of("script") == []
    assert "<script" not in path.read_text(encoding="utf-8")
    assert page.of("img")[0]["alt"] == bad
    assert page.words.count(bad) >= 8


@pytest.mark.parametrize("summary", [{}, dict.fromkeys(SUMMARY), {name: {} for name in SUMMARY}])
def test_missing_parts_leave_a_page_that_says_so(tmp_path, summary):
    words = _Page(write_report(tmp_path, summary=summary, figures=[_figure(None)], provenance=None)).words
    assert words.count("Not measured in this run.") == 8
    for sentence in (
        "This run wrote no numbers.",
        "This run made no figures.",
        "This run wrote no manifest.",
    ):
        assert sentence in words


def test_single_missing_numbers_become_dashes(tmp_path):
    summary = {name: dict.fromkeys(section) for name, section in SUMMARY.items()}
    page = _Page(write_report(tmp_path, summary=summary))
    assert page.words.count("–") > 20


def test_provenance_shows_nested_records_in_words(tmp_path):
    provenance = {
        "settings": {"model": {"latent_dim": 2, "hidden": [256, 128], "patience": None}},
        "inputs": [{"path": "a.xtc"}, {"path": "b.xtc"}],
    }
    words = _Page(write_report(tmp_path, summary={}, provenance=provenance)).words
    for expected in ("latent dim", "256, 128", "a.xtc", "b.xtc", "–"):
        assert expected in words


def test_page_stays_below_ten_megabytes_and_names_what_it_leaves_out(tmp_path):
    figures = [_figure(_png(tmp_path / "figures" / f"{name}.png", padding=4_000_000)) for name in "ab"]
    path = write_report(tmp_path, summary=SUMMARY, figures=figures)
    page = _Page(path)
    assert path.stat().st_size < 10_000_000
    assert len(page.of("img")) == 1
    assert "Too large for this page; see figures/b.png." in page.words


def test_run_figures_are_those_that_the_folder_holds(tmp_path):
    _png(tmp_path / "figures" / "latent_map.png")
    figures = run_figures(tmp_path)
    assert len(figures) == 11
    assert [figure.path for figure in figures if figure.path is not None] == [
        tmp_path / "figures/latent_map.png"
    ]
    assert all(figure.caption and figure.alt for figure in figures)


def test_a_missing_figure_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.png: the figure 'Map' does not exist"):
        write_report(tmp_path, summary={}, figures=[_figure(tmp_path / "none.png")])


def test_a_figure_of_another_format_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("<svg/>")
    with pytest.raises(InputError, match="is not a PNG file"):
        write_report(tmp_path, summary={}, figures=[_figure(tmp_path / "a.png")])


def test_an_existing_report_is_kept_unless_overwriting_is_asked_for(tmp_path):
    path = write_report(tmp_path, summary={}, title="first")
    with pytest.raises(InputError, match="exists already"):
        write_report(tmp_path, summary={}, title="second")
    assert "first" in path.read_text(encoding="utf-8")
    assert "third" in write_report(tmp_path, summary={}, title="third", overwrite=True).read_text(
        encoding="utf-8"
    )


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none does not exist"):
        write_report(tmp_path / "none", summary={})
