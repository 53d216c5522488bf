"""`python jobs/query.py ...` is `faceanon query ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["query", *sys.argv[1:]]))
