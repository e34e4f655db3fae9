"""Reasoners: what is wrong in a region, in words, or that nothing is."""
