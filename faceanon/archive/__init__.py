"""What is asked for, and bytes at rest: URIs, sources, the difference to what is there, stores and scratch."""
