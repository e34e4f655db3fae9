"""Planners: which tool repairs which region, or why none does."""
