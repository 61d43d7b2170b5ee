"""The program that torchrun starts in a test: `cigf`, but rank 1 is killed in the first start."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from processes import die_in_step  # found by the line above

from cigf.cli.main import main

if __name__ == "__main__":
    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        die_in_step(6)
    main()
