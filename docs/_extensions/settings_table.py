"""`settings-table`: the fields of a settings dataclass as a table of name, default and meaning.

    ```{settings-table} polyvae.training.TrainConfig
    ```

The meanings are those of the `Attributes` section of its docstring: page, command line and code say the same.
"""

import dataclasses
import inspect
import re
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_FIELD = re.compile(r"^    (\w+): (.*)$")


class SettingsTable(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        module, _, name = self.arguments[0].rpartition(".")
        kind = getattr(import_module(module), name)
        meanings = attribute_meanings(kind)
        header = ("Name", "Default", "Meaning")
        table = nodes.table(classes=["settings"])
        group = nodes.tgroup(cols=3)
        table += group
        for width in (20, 22, 58):
            group += nodes.colspec(colwidth=width)
        group += nodes.thead("", _row([[nodes.Text(word)] for word in header]))
        body = nodes.tbody()
        group += body
        for field in dataclasses.fields(kind):
            if field.default_factory is not dataclasses.MISSING:
                # A table of its own, with a page of its own.
                continue
            if field.name not in meanings:
                raise self.error(
                    f"{kind.__name__}.{field.name} has no meaning in the Attributes of its docstring."
                )
            words, _ = self.state.inline_text(meanings[field.name], self.lineno)
            default = str(field.default) if isinstance(field.default, Path) else repr(field.default)
            default = default.replace("'", '"')
            body += _row([[nodes.literal("", field.name)], [nodes.literal("", default)], words])
        return [table]


def attribute_meanings(kind: type) -> dict[str, str]:
    """The `Attributes` section of a class's docstring, by name."""
    section = inspect.getdoc(kind).partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        found = _FIELD.match(line)
        if found:
            name = found[1]
            meanings[name] = found[2]
        elif name:
            meanings[name] += " " + line.strip()
    return meanings


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells])


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("settings-table", SettingsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
