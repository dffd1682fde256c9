"""Which runs stand behind the stored figures? What a study is, one file per family, tuning, and the list of all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
