"""A trained model on disk, and recommendations from it in external ids."""
