"""Agentic Retoucher: finds, explains, repairs and verifies local defects in generated pictures."""

__version__ = "0.1.0"
