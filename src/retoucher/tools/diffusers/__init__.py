"""Repair by diffusion models, through the diffusers library: one module per family of models."""
