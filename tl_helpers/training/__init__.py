"""How is it trained? Strategies of transfer, freezing, learning rates, adaptation, several tasks at once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
