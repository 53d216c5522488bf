"""`python jobs/trace.py ...` is `faceanon trace ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["trace", *sys.argv[1:]]))
