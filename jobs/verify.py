"""`python jobs/verify.py ...` is `faceanon verify ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["verify", *sys.argv[1:]]))
