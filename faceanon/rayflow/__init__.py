"""The one place that speaks Ray: the same steps as flow.local, carried out by pools of actors through Ray Data."""
