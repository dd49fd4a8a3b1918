import sys

raise BaseExceptionGroup("g", [SystemExit(3), KeyError("k")])
