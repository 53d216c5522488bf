"""What was done to every video, by whom, and how it can be checked: records committed one by one, tables folded from them, SQL over the tables."""
