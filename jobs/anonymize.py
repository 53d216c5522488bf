"""`python jobs/anonymize.py ...` is `faceanon anonymize ...`; the file to name in `ray job submit`."""

import sys

from faceanon.cli import main

sys.exit(main(["anonymize", *sys.argv[1:]]))
