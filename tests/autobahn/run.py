"""Runs the Autobahn suite from a folder of packages: run.py FOLDER ARGUMENTS-OF-WSTEST"""

import site
import sys

# Not by PYTHONPATH, which leaves out what a folder says of itself in .pth files.
site.addsitedir(sys.argv.pop(1))

from autobahntestsuite.wstest import run  # noqa: E402

run()
