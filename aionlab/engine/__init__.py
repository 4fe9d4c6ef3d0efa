"""The engine: turns, recorders, supervision and the verbs. It knows ports, not implementations."""
