"""Metrics as pure functions, and the evaluators that apply them to data sets."""
