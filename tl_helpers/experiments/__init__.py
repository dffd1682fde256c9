"""Is the effect real? Intervals, a verdict, and how alike two domains are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
