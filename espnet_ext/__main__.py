"""``python -m espnet_ext`` is the console command ``espnet-ext``."""

import sys

from espnet_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
