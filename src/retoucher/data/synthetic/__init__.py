"""Defects of known mask, category and words, made on clean pictures."""
