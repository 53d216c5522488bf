"""`python jobs/retention.py ...` is `faceanon retention ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["retention", *sys.argv[1:]]))
