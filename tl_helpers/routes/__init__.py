"""Which of the eight routes is my problem on, and what are its source and its target?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
