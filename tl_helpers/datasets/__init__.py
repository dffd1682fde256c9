"""What data do we have? Three worlds (street, emoji, photographs), each in several domains and tasks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
