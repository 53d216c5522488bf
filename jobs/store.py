"""`python jobs/store.py ...` is `faceanon store ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["store", *sys.argv[1:]]))
