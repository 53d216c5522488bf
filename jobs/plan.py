"""`python jobs/plan.py ...` is `faceanon plan ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["plan", *sys.argv[1:]]))
