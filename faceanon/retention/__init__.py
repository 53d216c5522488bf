"""Which originals may go, when, and how each step towards it is written down before it is taken."""
