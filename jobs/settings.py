"""`python jobs/settings.py ...` is `faceanon settings ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["settings", *sys.argv[1:]]))
