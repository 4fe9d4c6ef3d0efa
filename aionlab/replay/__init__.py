"""What history answers: a deterministic asyncio loop for one run, the run's process on it, and its rebuilding from recorded events."""
