"""What is the mean if each class shall count the same, however many examples it has?"""

import numpy as np


def macro_average(values, y):
    """Average within each class, then over the classes.

    Parameters
    ----------
    values : array-like
        ``(n,)``: one per example. Whether the answers are right gives the mean recall, or balanced accuracy.
    y : numpy.ndarray
        Class indices ``(n,)``.

    Returns
    -------
    float
        Over the classes that occur.

    Examples
    --------
    >>> macro_average([True, False, True], np.array([0, 0, 1]))
    0.75
    """
    values = np.asarray(values)
    return float(np.mean([values[y == label].mean() for label in np.unique(y)]))
