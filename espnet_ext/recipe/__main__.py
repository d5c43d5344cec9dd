"""``python -m espnet_ext.recipe``: what run.sh calls."""

import sys

from espnet_ext.recipe.cli import main

if __name__ == "__main__":
    sys.exit(main())
