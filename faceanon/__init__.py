"""faceanon replaces every face in a video archive with a synthetic one, the same one for the same person, and keeps proof of what it did."""

__version__ = "0.1.0"
