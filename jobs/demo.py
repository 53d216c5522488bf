"""`python jobs/demo.py ...` is `faceanon demo ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["demo", *sys.argv[1:]]))
