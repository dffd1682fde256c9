"""How alike are two networks, and how alike two domains? Both are read from features."""

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tl_helpers.arguments import check_choice, check_finite
from tl_helpers.experiments.averages import macro_average


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


def _finite(features, name):
    """Return features as finite float64, or say what is wrong with them."""
    features = np.asarray(features, "float64")
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(
            f"{name} must be (n, d), one row per input, not {features.shape}. Feature maps: reshape(len({name}), -1)."
        )
    check_finite(features, name)
    return features


def _centred(features, name):
    """Return float64 features with centred columns and Frobenius norm 1."""
    features = _finite(features, name)
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


# ---------------------------------------------------------------- two domains

_DISTANCES = ("proxy_a", "mmd", "coral")


def domain_distance(x, y, *, method="proxy_a", seed=0):
    """Measure how far apart two domains are, by features of inputs from each.

    Parameters
    ----------
    x, y : array-like
        Features ``(n, d)`` and ``(m, d)`` of inputs from the two domains, by the same network; labels are not needed.
    method : {"proxy_a", "mmd", "coral"}
        ``"proxy_a"``: can a linear classifier tell them apart? 2 (1 − 2ε) with its error ε on held-out rows
        (Ben-David et al. 2007, section 4; logistic regression on standardised features, five folds, both domains with
        the same weight). About 0 for one and the same domain, 2 where it never errs; chance can make it negative.
        ``"mmd"``: squared maximum mean discrepancy, unbiased, with a Gaussian kernel as wide as the median distance
        (Gretton et al. 2012, equation 3). About 0 for one and the same domain, where it may be slightly negative.
        ``"coral"``: squared distance of the covariances, divided by 4 d² (Sun and Saenko 2016, equation 1). It depends
        on the features' scale, so it compares pairs of domains under one network, nothing else.
    seed : int
        Of the folds of ``"proxy_a"``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an array is not of shape ``(n, d)`` with finite numbers, if the widths differ, if there are fewer than five
        rows, or if there is no such method.

    Examples
    --------
    >>> rows = np.arange(20.0)[:, None]
    >>> domain_distance(rows, rows + 100)
    2.0
    """
    x, y = _finite(x, "x"), _finite(y, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} features and y {y.shape[1]}: take both from the same network.")
    if min(len(x), len(y)) < 5:
        raise ValueError(f"There are {len(x)} and {len(y)} rows; a distance of domains needs at least five of each.")
    check_choice("method", method, _DISTANCES)
    if method == "proxy_a":
        return _proxy_a(x, y, seed)
    if method == "mmd":
        return _unbiased_mmd(x, y)
    gap = np.cov(x, rowvar=False) - np.cov(y, rowvar=False)
    return float((gap**2).sum() / (4 * x.shape[1] ** 2))


def _proxy_a(x, y, seed):
    side = np.repeat([0, 1], [len(x), len(y)])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000, class_weight="balanced"))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    found = cross_val_predict(classifier, np.concatenate([x, y]), side, cv=folds)
    return float(2 * (1 - 2 * macro_average(found != side, side)))


def _unbiased_mmd(x, y):
    squared = pdist(np.concatenate([x, y]), "sqeuclidean")
    middle = np.median(squared)
    if middle == 0:
        raise ValueError("More than half of the rows are the same, so their median distance is no scale.")
    kernel = squareform(np.exp(-squared / (2 * middle)))  # zeros on the diagonal: a row is not compared with itself
    n, m = len(x), len(y)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(within - 2 * kernel[:n, n:].mean())
