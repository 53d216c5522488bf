"""`python jobs/samples.py ...` is `faceanon samples ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["samples", *sys.argv[1:]]))
