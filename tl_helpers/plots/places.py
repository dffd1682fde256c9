"""Where on a study's axis, and in which words? What the figures of gains and of accuracies have in common."""

from __future__ import annotations

import numbers

from tl_helpers.grid.keys import key_values
from tl_helpers.plots.charts import short


def unit_of(study):
    """Return what a study's axis counts.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy

    Returns
    -------
    str
    """
    return study.axis.unit if study.axis is not None else "budget"


def place(value):
    """Say where on an axis whose unit has been told.

    Parameters
    ----------
    value : float, str or None

    Returns
    -------
    str
        ``"at 5"``, or ``"for “sketches”"``.
    """
    return places([value])


def places(values):
    """Say where on an axis whose unit has been told, for several values of one kind.

    Parameters
    ----------
    values : list of float, str or None

    Returns
    -------
    str
        ``"at 5, 20"``, or ``"for “sketches”, “x-rays”"``.
    """
    if are_amounts(values):
        return f"at {', '.join('None' if value is None else short(value) for value in values)}"
    return f"for {', '.join(f'“{value}”' for value in values)}"


def place_on(study, value):
    """Say where on a study's axis, unit included.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
    value : float, str or None

    Returns
    -------
    str
        ``"at 5 labels per class"``, ``"at learning rate 0.01"``, or ``"for “sketches”"``.
    """
    if value is not None and not isinstance(value, numbers.Real):
        return place(value)
    if study.axis is not None and study.axis.name == study.axis.unit:  # a quantity, no count of things
        return f"at {study.axis.name} {value if value is None else short(value)}"
    return f"{place(value)} {unit_of(study)}"


def along_the_axis(study, runs):
    """Return the values at which runs were made, in the order in which the axis is drawn.

    Parameters
    ----------
    study : tl_helpers.experiments.stored.StoredStudy
    runs : pandas.DataFrame

    Returns
    -------
    list
        Numbers by size, names in the order of the axis; None last.
    """
    values = list(dict.fromkeys(key_values(runs, "budget")))
    amounts = [value for value in values if value is not None]
    if are_amounts(values):
        return sorted(amounts) + [None] * (None in values)
    order = list(study.axis.values) if study.axis is not None else []
    return sorted(values, key=lambda value: order.index(value) if value in order else len(order))


def are_amounts(values):
    """Say whether all values of an axis are numbers, but for None.

    Parameters
    ----------
    values : list

    Returns
    -------
    bool
    """
    return all(isinstance(value, numbers.Real) for value in values if value is not None)


def is_wide(values):
    """Say whether amounts ask for a logarithmic axis.

    Parameters
    ----------
    values : list of float or None

    Returns
    -------
    bool
        Where all are above 0, and the largest is at least ten times the smallest.
    """
    amounts = [value for value in values if value is not None]
    return bool(amounts) and min(amounts) > 0 and max(amounts) >= 10 * min(amounts)


def listed_arms(arms):
    """Return one or several keys of arms as a list.

    Parameters
    ----------
    arms : str or sequence of str

    Returns
    -------
    list
    """
    return [arms] if isinstance(arms, str) or not hasattr(arms, "__iter__") else list(arms)


def capital(text):
    """Return a text that begins with a capital letter.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    return text[:1].upper() + text[1:]
