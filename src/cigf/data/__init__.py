"""From event logs to checked, id-mapped, split datasets; runs without torch."""
