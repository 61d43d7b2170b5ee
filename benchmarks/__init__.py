"""Time, memory and quality on real data; see benchmarks/README.md."""
