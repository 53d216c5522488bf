"""`python jobs/keys.py ...` is `faceanon keys ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["keys", *sys.argv[1:]]))
