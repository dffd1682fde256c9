"""What happens if I choose otherwise? Explorers with controls, each with a function that draws the same as a figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
