"""`python -m slipstream_actor`: the shell tool."""

import sys

from slipstream_actor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
