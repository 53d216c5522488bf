"""`python jobs/models.py ...` is `faceanon models ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["models", *sys.argv[1:]]))
