"""Values and ports: what every other part of aionlab speaks, importing nothing of ours."""
