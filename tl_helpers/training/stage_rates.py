"""How fast does each stage learn? One optimizer with a learning rate of its own for each stage of a model."""

from __future__ import annotations

import numbers

import keras

from tl_helpers.models.graph import layers_in, leaves_in, leaves_of, stage_of


def discriminative_optimizer(model, learning_rate, factors, *, optimizer="adam"):
    """Make an optimizer that gives each stage of a model its own learning rate (Howard and Ruder 2018, section 3.2).

    The rate is scaled, not the gradient: under Adam a scaled gradient moves the weights just as far. All else is as in
    one optimizer: the gradients of all stages are clipped together, and a change of ``optimizer.learning_rate``, by a
    callback such as ``keras.callbacks.LearningRateScheduler`` or by hand, changes the rates of all stages in
    proportion. It trains this model and no other: load a saved model without it
    (``keras.models.load_model(path, compile=False)``, since Keras saves what a model was compiled with in any case),
    and make it anew.

    Parameters
    ----------
    model : keras.Model
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        For a factor of 1.
    factors : dict of str to float, or float
        Stage (see :func:`tl_helpers.models.graph.layers_in`) → factor above 0; layers that no stage covers have 1. A
        number divides the rate once more for each stage away from the output, by the stages that the layers' names
        suggest: 2.6 gives 1, .385, .148, .057, ….
    optimizer : str or keras.optimizers.Optimizer
        Kind of the optimizer; from an optimizer its settings are taken, and what it excludes from weight decay.

    Returns
    -------
    keras.optimizers.Optimizer
        Of a class derived from that of `optimizer`.

    Raises
    ------
    ValueError
        If a stage matches no layer with weights, two stages match one layer, a factor is not above 0, or the optimizer
        only hands its work on to others. Also in its first update, if that is of another model.
    """
    factor_of = _factor_by_layer(model, factors)
    template = keras.optimizers.get(optimizer)
    kind = getattr(type(template), "without_factors", type(template))
    if kind.update_step is keras.optimizers.Optimizer.update_step:
        raise ValueError(
            f"{kind.__name__} hands its updates on to other optimizers, so it has no learning rate to scale. Give the "
            f"optimizer that does the work, such as keras.optimizers.Adam(); `compile` scales the loss by itself where "
            f"a model needs that."
        )
    factor_by_variable = [(weight, 1.0) for weight in model.variables]
    for layer, factor in factor_of.items():
        factor_by_variable += [(weight, factor) for weight in layer.variables]
    rate = float(learning_rate) if isinstance(learning_rate, numbers.Real) else learning_rate
    made = _with_factors(kind, factor_by_variable, model.name).from_config(
        template.get_config() | {"learning_rate": rate}
    )
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(template, name):  # no setting, so that `get_config` does not give it
            setattr(made, name, getattr(template, name))
    return made


def _with_factors(kind, factor_by_variable, model_name):
    """Derive a kind of optimizer that multiplies the learning rate of each variable by a factor.

    Parameters
    ----------
    kind : type
        Subclass of ``keras.optimizers.Optimizer``.
    factor_by_variable : list of (keras.Variable, float)
        Of a variable's pairs the last counts.
    model_name : str

    Returns
    -------
    type
    """
    # With the variables themselves, so that no other one ever gets the identity of one of them.
    factor_of = {id(variable): (factor, variable) for variable, factor in factor_by_variable}

    class Discriminative(kind):
        without_factors = kind
        _scale = 1.0

        def build(self, variables):
            unknown = [variable.path for variable in variables if id(variable) not in factor_of]
            if unknown:
                raise ValueError(
                    f"This optimizer has the learning rates of {model_name!r} as it was when the optimizer was made; "
                    f"it knows none for {unknown[0]!r}. Make another with discriminative_optimizer."
                )
            super().build(variables)

        def _factor(self, variable):
            return factor_of[id(self._trainable_variables[self._get_variable_index(variable)])][0]

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * self._factor(variable))

        def _apply_weight_decay(self, variables):
            # It shrinks weights by a share of the learning rate, and takes that from the optimizer itself.
            for variable in variables:
                self._scale = self._factor(variable)
                super()._apply_weight_decay([variable])
                self._scale = 1.0

        def _get_current_learning_rate(self):
            rate = super()._get_current_learning_rate()
            return rate if self._scale == 1 else rate * self._scale

        def get_config(self):
            # Keras shows this when it cannot load the optimizer with a model.
            hint = "keras.models.load_model(path, compile=False), then discriminative_optimizer"
            return {**super().get_config(), "load_with": hint}

        @classmethod
        def from_config(cls, config, custom_objects=None):
            settings = {name: value for name, value in config.items() if name != "load_with"}
            return super().from_config(settings, custom_objects)

    Discriminative.__name__ = Discriminative.__qualname__ = f"Discriminative{kind.__name__}"
    return Discriminative


def _factor_by_layer(model, factors):
    weighted = [layer for layer in leaves_of(model) if layer.weights]
    if not isinstance(factors, dict):
        stages = list(dict.fromkeys(stage_of(layer.name) for layer in weighted))
        power = {stage: distance for distance, stage in enumerate(reversed(stages))}
        if not factors > 0:
            raise ValueError(f"factors must be above 0, not {factors}.")
        return {layer: float(factors) ** -power[stage_of(layer.name)] for layer in weighted}
    factor_of, stage_for = {}, {}
    for stage, factor in factors.items():
        if not factor > 0:
            raise ValueError(f"The factor of stage {stage!r} must be above 0, not {factor}. To freeze it, use freeze.")
        inside = {leaf for found in layers_in(model, stage) for leaf in leaves_in(found) if leaf.weights}
        if not inside:
            raise ValueError(f"Stage {stage!r} of {model.name!r} has no weights, so it has no learning rate.")
        for layer in inside:
            if layer in factor_of:
                raise ValueError(f"Stages {stage_for[layer]!r} and {stage!r} both cover layer {layer.name!r}.")
            factor_of[layer], stage_for[layer] = float(factor), stage
    return factor_of
