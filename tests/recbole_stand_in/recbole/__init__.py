"""As much of RecBole as its benchmark calls, without learning; for tests."""
