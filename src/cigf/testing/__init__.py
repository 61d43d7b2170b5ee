"""Contract suites that every model passes, importable by users."""
