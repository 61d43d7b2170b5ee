"""From ranks to honest metrics; NumPy only."""
