"""`python jobs/compare.py ...` is `faceanon compare ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["compare", *sys.argv[1:]]))
