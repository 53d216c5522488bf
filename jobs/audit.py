"""`python jobs/audit.py ...` is `faceanon audit ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["audit", *sys.argv[1:]]))
