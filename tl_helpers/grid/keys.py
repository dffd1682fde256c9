"""What tells runs apart? Values of arm, budget, seed and the like, among which None is one like any other.

A budget of None (all labels) stands in a table as None or, among numbers, as NaN: no comparison finds it there, groups
leave it out, and lists with it do not sort. The functions here know it as None wherever it stands.
"""

import numpy as np
import pandas


def key_values(frame, column):
    """Return a column's values as plain ones.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str

    Returns
    -------
    list
        One value per row, missing ones as None. Where gaps have made floats of whole numbers, these are int again.
    """
    missing = frame[column].isna().tolist()
    values = [value.item() if isinstance(value, np.generic) else value for value in frame[column].tolist()]
    present = [value for value, gap in zip(values, missing, strict=True) if not gap]
    whole = any(missing) and all(isinstance(value, float) and value.is_integer() for value in present)
    return [None if gap else int(value) if whole else value for value, gap in zip(values, missing, strict=True)]


def rows_where(frame, column, *wanted):
    """Say which rows hold one of some values.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
    *wanted
        The values; None (or NaN) finds the missing ones.

    Returns
    -------
    numpy.ndarray
        ``(len(frame),)``, bool.
    """
    # A float that is not equal to itself is NaN.
    wanted = [None if isinstance(value, float) and value != value else value for value in wanted]
    return np.array([value in wanted for value in key_values(frame, column)], dtype=bool)


def group_rows(frame, columns):
    """Find the rows of each combination of values.

    Parameters
    ----------
    frame : pandas.DataFrame
    columns : sequence of str

    Returns
    -------
    dict of tuple to list of int
        Values of `columns`, see :func:`key_values`, → positions of the rows; both in order of appearance.
    """
    groups = {}
    keys = zip(*(key_values(frame, column) for column in columns), strict=True) if columns else [()] * len(frame)
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return groups


def key_column(values):
    """Return values as a column that keeps None, and whole numbers beside it.

    Parameters
    ----------
    values : list

    Returns
    -------
    pandas.Series
    """
    return pandas.Series(values, dtype=object) if None in values else pandas.Series(values)
