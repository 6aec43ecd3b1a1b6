"""`ardm doctor`: checks of everything that a run needs on this machine."""
