"""`python jobs/train.py ...` is `faceanon train ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
