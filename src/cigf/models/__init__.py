"""One file per model: its configuration, its class and nothing else."""
