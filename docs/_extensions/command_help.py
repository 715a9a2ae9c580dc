"""`command-help`: what `polyvae VERB --help` prints, so that page and program say the same.

```{command-help} encode
```
"""

import contextlib
import io
import os
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandHelp(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The help as a literal block."""
        from polyvae.cli import main

        output = io.StringIO()
        verb = self.arguments[0]
        try:
            with _width(88), contextlib.redirect_stdout(output):
                code = main([verb, "--help"])
        except ImportError as error:
            raise self.error(f"polyvae {verb}: {error}") from error
        if code:
            raise self.error(f"polyvae {verb} --help ended with code {code}.")
        text = "\n".join(line.rstrip() for line in output.getvalue().strip().splitlines())
        return [nodes.literal_block(text, text, language="text")]


@contextlib.contextmanager
def _width(columns: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
