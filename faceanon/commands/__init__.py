"""One module per job. Each has `add_arguments(parser)` and `run(arguments) -> exit code`; `faceanon JOB` and jobs/JOB.py both come here."""
