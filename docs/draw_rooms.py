"""Draws `_static/rooms.svg` from the import contract in pyproject.toml, so that the two cannot disagree."""

import tomllib
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE / "_static" / "rooms.svg"

ROOMS = {
    "cli": "commands and TOML files",
    "report": "one HTML page",
    "plots": "record → figure",
    "deployment": "encoder elsewhere",
    "storage": "model and result files",
    "simulation": "example systems",
    "analysis": "latent trajectory, marginals, generation, compact structures, likelihood, baselines",
    "training": "split, augmentation, compiled epoch, fit, learning curves",
    "vae": "distributions, networks, objectives; raw positions to latent and back",
    "features": "canonical frame ↔ vector; observables; geometry seen in the data",
    "preprocessing": "centering and alignment, differentiable",
    "trajectory": "files and arrays, periodic boxes, inspection, writing",
    "units": "nm, ps, reduced",
    "_typing": "names of axes",
    "_arrays": "put, not computed",
    "_batching": "mapping in batches",
    "_compiled_code": "compiled code, kept",
    "errors": "errors, warnings",
}
ONLY_HERE = {
    "cli": "tyro, tqdm",
    "report": "jinja2",
    "plots": "matplotlib",
    "storage": "safetensors",
    "simulation": "OpenMM",
    "analysis": "optax",
    "training": "optax",
    "trajectory": "mdtraj",
}
HANDS_UP = (
    "run folder",
    "report.html",
    "figures, files, example runs",
    "result records",
    "FitResult",
    "ConformationModel",
    "feature vectors",
    "canonical frames",
    "Trajectory",
    "",
    "",
)
COLORS = (
    "#f6d5c3",
    "#f6e3c3",
    "#eef0c8",
    "#d3ecd0",
    "#cdebe6",
    "#cfe3f5",
    "#d6d9f5",
    "#e4d4f2",
    "#f2d2e6",
    "#e6e6e6",
    "#e6e6e6",
)

LEFT, WIDTH, TOP, ROW, GAP = 60, 720, 66, 54, 12
# Attributes on every element instead of a style sheet: simple viewers know no CSS.
FONT = 'font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif" fill="#1c1c28"'
KINDS = {
    "head": 'font-size="13" font-weight="bold"',
    "name": 'font-size="14.5" font-weight="bold"',
    "what": 'font-size="12"',
    "only": 'font-size="11" font-style="italic"',
    "hand": 'font-size="13"',
}


def layers() -> list[list[str]]:
    """The rooms of each layer, the top one first; a room in parentheses is not built yet."""
    contracts = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    lines = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().replace("polyvae.", "") for name in line.split("|")] for line in lines]


def picture() -> str:
    """The picture as SVG text."""
    rows = layers()
    height = TOP + len(rows) * (ROW + GAP) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1030" height="{height}" viewBox="0 0 1030 {height}" '
        'role="img" aria-label="The rooms of polyvae in layers; imports go down, data go up">',
        f'<rect width="1030" height="{height}" rx="10" fill="#ffffff"/>',
        _text(LEFT, 30, "head", "Rooms of polyvae: each imports only from the lines below it"),
        _text(LEFT, 49, "only", "in italics: the library that a room rests on; dashed: kept free for later"),
        _text(LEFT + WIDTH + 58, 30, "head", "What each line hands up"),
        _arrow(30, TOP, height - 24),
        f'<g transform="translate(21 {height / 2 + 60}) rotate(-90)">',
        _text(0, 0, "what", "imports go down"),
        "</g>",
    ]
    for index, (row, hands_up) in enumerate(zip(rows, HANDS_UP, strict=True)):
        y = TOP + index * (ROW + GAP)
        width = (WIDTH - GAP * (len(row) - 1)) / len(row)
        for column, room in enumerate(row):
            parts.append(_box(LEFT + column * (width + GAP), y, width, room, COLORS[index]))
        parts.append(_text(LEFT + WIDTH + 58, y + ROW / 2 + 5, "hand", hands_up))
        if hands_up and index:
            parts.append(_arrow(LEFT + WIDTH + 30, y + ROW / 2 - 2, y - ROW / 2))
    return "\n".join([*parts, "</svg>", ""])


def _box(x: float, y: float, width: float, room: str, color: str) -> str:
    right = x + width - 10
    outline = ' stroke-dasharray="5 4"' if room.startswith("(") else ""
    room = room.strip("()")
    only = _text(right, y + 21, "only", ONLY_HERE[room], anchor="end") if room in ONLY_HERE else ""
    return (
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" rx="7" '
        f'fill="{color}" stroke="#8a8a9a"{outline}/>'
        + _text(x + 10, y + 22, "name", room)
        + only
        + _text(x + 10, y + 42, "what", ROOMS[room])
    )


def _text(x: float, y: float, kind: str, words: str, *, anchor: str = "start") -> str:
    return f'<text {FONT} {KINDS[kind]} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _arrow(x: float, start: float, end: float) -> str:
    back = 8 if end < start else -8
    return (
        f'<path d="M{x} {start:.1f}V{end:.1f}" stroke="#55556a" stroke-width="1.6"/>'
        f'<path d="M{x - 4} {end + back:.1f}L{x} {end:.1f}L{x + 4} {end + back:.1f}z" fill="#55556a"/>'
    )


if __name__ == "__main__":
    TARGET.write_text(picture(), "utf-8")
    print(TARGET.name)
