"""Workflow code as data: found, refused or captured, stored as text, built again elsewhere, compared, signed.

What runs is the package, never the notebook's function object. `capture` makes one, `build` is the only place that executes one.
"""
