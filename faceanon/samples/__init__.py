"""The sample archive: clips of synthetic people with known truth, for the demo, the tests and the bench."""
