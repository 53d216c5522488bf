"""`python jobs/review.py ...` is `faceanon review ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["review", *sys.argv[1:]]))
