"""How much is held in memory at a time while a log is read and prepared: rows, or bytes of a file.

Nothing but time and memory depends on these numbers.
"""

PIECE_ROWS = 1 << 20
"""Rows that are read and understood at a time."""

WHOLE_BYTES = 64 << 20
"""Text files up to this size are read in one go, which is quicker."""

MEMORY_ROWS = 4 << 20
"""Rows that wait in memory; more of them wait on the disk."""

BLOCK_ROWS = 2 << 20
"""Rows, about, that are sorted at a time."""

MOST_BLOCKS = 1000
"""A log is divided into no more blocks than this, however large."""
