"""Tools that send a crop to a server people already run, or to an image-edit service."""
