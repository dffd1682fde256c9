"""How do many runs survive? A grid of runs, its workers, its log, and the tables that are stored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
