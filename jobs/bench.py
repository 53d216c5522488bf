"""`python jobs/bench.py ...` is `faceanon bench ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["bench", *sys.argv[1:]]))
