"""aionlab in a notebook: its magics, and which lab a notebook uses.

The one package that imports IPython, and only once `%load_ext aionlab` asks for it. A magic is a verb (`verbs`): its line is read by
`grammar` without running anything, its words get their meaning among the notebook's names in `values`, and one small function in
`starting`, `messages`, `control`, `looking`, `clocks` or `desk` makes one call of the lab. `session` knows what was put into IPython.
"""
