"""`python -m polyvae` is the command line."""

import sys

from polyvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
