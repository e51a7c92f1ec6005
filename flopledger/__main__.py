"""``python -m flopledger``: the same door as the console script."""

import sys

from flopledger.commands import main

if __name__ == "__main__":
    sys.exit(main())
