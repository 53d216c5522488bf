"""`python jobs/evaluate.py ...` is `faceanon evaluate ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["evaluate", *sys.argv[1:]]))
