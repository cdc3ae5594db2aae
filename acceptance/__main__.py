"""``python -m acceptance``."""

import sys

from acceptance.run.command import main

if __name__ == "__main__":
    sys.exit(main())
