"""The vocabulary of the product: plain frozen data, standard library and numpy only."""
