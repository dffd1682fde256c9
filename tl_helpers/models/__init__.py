"""What network? Backbones, source models, heads, and what they see.

Every model here takes images as stored (``uint8`` or float, 0…255): its preprocessing is its first layer, named
``preprocess``, so that it can neither be forgotten nor done twice. Every model is flat (no model nested in another), so
that ``model.get_layer("conv2")`` finds any layer, and the layers of a head have names that start with ``head``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
