"""Parts of benchmarks/reasoning_strategies.py."""
