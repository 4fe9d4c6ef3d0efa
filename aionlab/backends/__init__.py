"""Where activities run."""
