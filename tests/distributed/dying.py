"""The program that torchrun starts in a test: `cigf`, but rank 1 is killed in the first start.

With DIES=always, the rank that this launcher starts is, whichever it is.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from processes import die_in_step  # found by the line above

from cigf.cli.main import main

if __name__ == "__main__":
    chosen = os.environ["RANK"] == "1" or os.environ.get("DIES") == "always"
    if chosen and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        die_in_step(6)
    main()
