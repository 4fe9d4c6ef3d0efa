"""`python -m aionlab.cli`."""
import sys

from . import main

sys.exit(main())
