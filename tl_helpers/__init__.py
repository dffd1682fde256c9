"""A small Keras helper package for teaching and trying out transfer learning.

Importing it is cheap: TensorFlow, Keras and pandas are loaded by the first function that needs them.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "datasets": ["Dataset", "Domain", "Task", "load_emoji", "load_photos", "load_street", "sample_budget"],
    "experiments": ["confidence_interval", "label_efficiency", "paired_difference", "transfer_verdict"],
    "features": ["extract_features"],
    "grid": ["run_grid"],
    "models": ["Backbone", "load_backbone", "load_source_model", "small_cnn"],
    "provenance": ["load_study", "study_provenance"],
    "session": ["start"],
    "similarity": ["cka"],
    "training": ["fit_transfer"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__():
    return __all__
