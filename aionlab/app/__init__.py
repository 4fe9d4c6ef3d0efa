"""The composition root: the one package that knows every part, and the lab that users hold."""
