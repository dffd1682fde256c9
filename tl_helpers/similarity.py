"""How alike do two networks see the same pictures? Centred kernel alignment of their features."""

import numpy as np


def cka(x, y, *, debiased=True):
    """Compare two networks' features of the same inputs by linear centred kernel alignment (CKA).

    It compares which inputs each network finds alike, not single units: turning, scaling or shifting the features
    changes nothing, and the two may have different numbers of features.

    Parameters
    ----------
    x, y : array-like
        Features ``(n, p)`` and ``(n, q)``; row i of both belongs to input i.
    debiased : bool
        The plain form rises with the number of features even where nothing is shared; the debiased form stays about 0
        there. It can be slightly negative, and needs at least four rows.

    Returns
    -------
    float
        1 for features that differ by a rotation, a positive factor and a shift; about 0 for unrelated ones.

    Raises
    ------
    ValueError
        If an array is not of shape ``(n, d)`` with finite numbers, if the rows do not match, if there are too few, or
        if all rows are the same (for the debiased form: all equally far from each other).

    Notes
    -----
    The plain form is ``‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)`` with centred columns and Frobenius norms (Kornblith, Norouzi, Lee and
    Hinton 2019, equation 4). With independent Gaussian features it is about ``sqrt(pq / ((n + p)(n + q)))``: one half
    for n = p = q. The debiased form puts the unbiased estimate of the Hilbert-Schmidt independence criterion (Song,
    Smola, Gretton, Bedo and Borgwardt 2012, equation 5) in each place, as Nguyen, Raghu and Kornblith (2021,
    section 2) do.

    Examples
    --------
    >>> features = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0], [7.0, 2.0], [1.0, 6.0]])
    >>> round(cka(features, 3 * features[:, ::-1] + 10), 6)
    1.0
    """
    x, y = _centred(x, "x"), _centred(y, "y")
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} rows and y {len(y)}: row i of both must come from the same input.")
    fewest = 4 if debiased else 2
    if len(x) < fewest:
        form = "debiased" if debiased else "plain"
        raise ValueError(f"There are {len(x)} rows; the {form} form needs at least {fewest}.")
    dependence = _unbiased_hsic if debiased else _squared_product
    own = dependence(x, x), dependence(y, y)
    for name, value in zip("xy", own, strict=True):
        if value < 1e-12:  # both have norm 1
            raise ValueError(f"All rows of {name} are equally far from each other, so no two inputs are more alike.")
    return float(dependence(x, y) / np.sqrt(own[0] * own[1]))


def _centred(features, name):
    """Return float64 features with centred columns and Frobenius norm 1."""
    features = np.asarray(features, "float64")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"{name} must be (n, d), one row per input, not {features.shape}. Feature maps: reshape(len({name}), -1)."
        )
    if not np.isfinite(features).all():
        raise ValueError(f"{name} holds values that are not finite (NaN or infinity).")
    largest = np.abs(features).max()
    features = features / largest if largest else features
    centred = features - features.mean(axis=0)
    norm = np.linalg.norm(centred)
    if norm <= 1e-12 * np.linalg.norm(features):
        raise ValueError(f"All rows of {name} are the same: these features do not tell the inputs apart.")
    return centred / norm


def _squared_product(x, y):
    """Return ‖YᵀX‖², by features or by inputs, whichever costs less."""
    n, p, q = len(x), x.shape[1], y.shape[1]
    if n * (p + q) < p * q:
        return np.vdot(x @ x.T, y @ y.T)
    product = y.T @ x
    return np.vdot(product, product)


def _unbiased_hsic(x, y):
    """Return n (n − 3) times the unbiased estimate (Song et al. 2012, equation 5) for centred linear kernels.

    With K = XXᵀ and centred columns every row of K sums to 0, so without its diagonal d it sums to −d, and the terms
    of the equation that hold n × n matrices become sums over d.
    """
    n = len(x)
    d, e = np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    return _squared_product(x, y) - n / (n - 2) * (d @ e) + d.sum() * e.sum() / ((n - 1) * (n - 2))
