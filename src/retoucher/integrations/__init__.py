"""Retouching inside other programs' pipelines."""
