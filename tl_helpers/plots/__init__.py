"""What does it look like? Charts of tables, and displays of stored studies that describe themselves."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
