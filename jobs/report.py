"""`python jobs/report.py ...` is `faceanon report ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["report", *sys.argv[1:]]))
