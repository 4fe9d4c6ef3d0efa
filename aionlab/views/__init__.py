"""Pure functions from events and snapshots to what people look at: frames, groups, timelines, trees, cards.

Nothing here reads a clock, a store or a file, and nothing here raises while it is being shown. Every view is built once as a
document of lines and elements (`document`), so its text and its HTML state the same facts; every string from outside passes
`text.visible` and `html.h`, which only escapes. pandas is imported by the functions that return frames, never by this package.
"""
