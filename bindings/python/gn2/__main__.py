# SPDX-License-Identifier: Apache-2.0
"""python -m gn2: the same as the command gn2."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
