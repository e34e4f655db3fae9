"""The `retouch` command: a thin shell over `retoucher.api`."""
