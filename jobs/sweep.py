"""`python jobs/sweep.py ...` is `faceanon sweep ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["sweep", *sys.argv[1:]]))
