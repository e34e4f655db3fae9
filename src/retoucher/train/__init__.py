"""Building blocks of the training recipes: losses, sampling, augmentation, checkpoints."""
