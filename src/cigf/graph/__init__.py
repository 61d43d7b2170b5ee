"""From matrices to graphs, and the one operator that moves embeddings along edges."""
