"""What a run will cost: an archive's size by looking at headers, arithmetic at measured rates, and the planner run on made-up segments."""
