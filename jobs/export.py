"""`python jobs/export.py ...` is `faceanon export ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["export", *sys.argv[1:]]))
