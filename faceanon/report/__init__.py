"""The page that a person opens after a run: what the ledger knows, in one file that needs nothing else."""
