"""What does a layer compute? Its settings where it is one of Keras's own; what it holds where it is the user's."""

# Keras is imported by the functions that need it: a worker imports this before it is known whether its runs do.
import functools
import warnings

from tl_helpers.grid.identity import own_parts, real_class

# Of what Keras itself notes in every layer, this decides what comes out.
_DECISIVE = {"_convert_input_args", "_dtype_policy", "_supports_masking", "activity_regularizer", "autocast"}


def is_own(thing):
    """Tell whether an object is of one of Keras's own classes, so that name, version and settings say what it does.

    Parameters
    ----------
    thing : object

    Returns
    -------
    bool
    """
    return real_class(thing).__module__.partition(".")[0] == "keras"


def settings_of(thing):
    """Return the settings of a layer, loss or other object of Keras, without its name.

    Parameters
    ----------
    thing : object

    Returns
    -------
    dict or None
        As ``get_config`` returns them; lambdas, whose text holds line numbers, by the word. None where it cannot tell.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lambdas, which could not be loaded again: nobody wants to
            settings = type(thing).get_config(thing)  # not the frozen layer's own, which is for files
    except Exception:  # of a function without source text, of arguments that were not kept: many kinds
        return None
    return _without_names({name: value for name, value in settings.items() if name not in ("name", "trainable")})


def _without_names(value):
    if isinstance(value, dict):
        dumped = value.get("value") if set(value) == {"value"} else None
        if value.get("class_name") == "__lambda__" or (isinstance(dumped, (list, tuple)) and len(dumped) == 3):
            return "lambda"
        if {"name", "trainable"} <= set(value):  # a layer in a layer
            value = {name: item for name, item in value.items() if name not in ("name", "trainable")}
        return {name: _without_names(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without_names, value)) if type(value) in (list, tuple) else list(value)
    return value


def attributes_of(thing):
    """Return the attributes of an object of Keras, without those that Keras notes in every layer.

    Parameters
    ----------
    thing : object

    Returns
    -------
    dict
    """
    import keras

    skipped = {"name"} | (_noted(isinstance(thing, keras.Model)) if isinstance(thing, keras.Operation) else set())
    return {
        name: value
        for name, value in sorted(getattr(thing, "__dict__", {}).items())
        # What freezing puts in a layer's place changes nothing that the layer computes.
        if name not in skipped and not name.startswith("_self_") and not hasattr(value, "of_freezing")
    }


@functools.lru_cache(maxsize=2)  # asked of every layer
def _noted(of_model):
    """Return the names of the attributes that every layer, or every model, has."""
    import keras

    # Named, because Keras counts the layers to which it gives a name itself.
    names = set(vars(keras.layers.Layer(name="layer")))
    if of_model:
        names |= set(vars(keras.Model(name="model"))) | {"_functional", "_nested_inputs", "_nested_outputs"}
    return names - _DECISIVE


def computed_by(layer):
    """List what decides the output of a layer besides its settings: nothing, where it is wholly Keras's own.

    Parameters
    ----------
    layer : keras.Operation

    Returns
    -------
    list
        To be hashed with :func:`tl_helpers.grid.identity.fingerprint`.
    """
    if not is_own(layer):
        return [layer]
    parts = own_parts(attributes_of(layer))
    if callable(getattr(layer, "get_vocabulary", None)):  # learned by `adapt`: neither a setting nor a weight
        parts += [layer.get_vocabulary(), getattr(layer, "idf_weights", None)]
    return parts


def content_of(thing):
    """Return what tells an object of Keras from another of its class: all that decides what it computes.

    Parameters
    ----------
    thing : object
        A layer, model, loss, variable, initializer or the like.

    Returns
    -------
    dict
        To be hashed with :func:`tl_helpers.grid.identity.fingerprint`.
    """
    import keras

    if isinstance(thing, keras.random.SeedGenerator):
        return {}  # which random numbers come next is the seed's matter, not the network's
    if isinstance(thing, keras.Variable):
        return {"value": thing.numpy()}
    if isinstance(thing, keras.KerasTensor):
        return {"shape": thing.shape, "dtype": str(thing.dtype)}
    if isinstance(thing, keras.DTypePolicy):
        return {"name": thing.name}
    if isinstance(thing, keras.Operation):
        return _content_of_layer(thing)
    settings = settings_of(thing) if hasattr(thing, "get_config") else None
    if is_own(thing) and settings is not None:
        return {"settings": settings, "parts": own_parts(attributes_of(thing))}
    attributes = attributes_of(thing)
    if isinstance(thing, keras.initializers.Initializer):
        attributes.pop("seed", None)  # drawn by Keras where none was given; `_init_seed` is the one that was
    if isinstance(thing, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        attributes = {name: value for name, value in attributes.items() if not name.startswith("_")}
    return {"attributes": attributes}


def _content_of_layer(layer):
    import keras

    from tl_helpers.grid.networks import describe  # which imports this module

    weights = [weight.numpy() for weight in getattr(layer, "weights", ())]
    content = {"weights": weights}
    if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
        content["graph"] = describe(layer, of_class=False)
    if is_own(layer):
        settings = None if "graph" in content else settings_of(layer)
        if settings is not None:
            return content | {"settings": settings, "parts": computed_by(layer)}
        if "graph" in content:
            return content
    return content | {"attributes": attributes_of(layer)}
