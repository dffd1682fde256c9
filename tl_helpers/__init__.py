"""A small Keras helper package for teaching and trying out transfer learning.

Importing it is cheap: `__init__.pyi` lists what there is, and TensorFlow, Keras and pandas are loaded by the first name
that needs them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
