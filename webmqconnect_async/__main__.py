"""`python -m webmqconnect_async`, the command line where no script was installed."""

import sys

from ._cli import main

if __name__ == "__main__":
    sys.exit(main())
