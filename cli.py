"""The door from a checkout: ``python cli.py audit case.toml``. All logic is in flopledger."""

import sys

from flopledger.commands import main

if __name__ == "__main__":
    sys.exit(main())
