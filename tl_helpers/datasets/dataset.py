"""What is a data set? Pictures with labels, of a domain and a task, and what one takes from it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Domain:
    """A feature space together with a marginal distribution over it (Pan & Yang 2010, section 2.2).

    Parameters
    ----------
    name : str
        Short name, such as ``"street/photo"``.
    feature_space : tuple of int
        Shape ``(h, w, c)`` of one input, in pixels and channels.
    description : str
        Where the inputs come from: the marginal distribution in words.
    """

    name: str
    feature_space: tuple[int, ...]
    description: str = ""


@dataclass(frozen=True)
class Task:
    """A label space together with a conditional distribution of labels given inputs (Pan & Yang 2010, section 2.2).

    Parameters
    ----------
    name : str
        Short name, such as ``"garment"``.
    label_names : tuple of str
        The label space: name of class ``0, 1, …``.
    """

    name: str
    label_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples of one task in one domain, as read-only NumPy arrays.

    Parameters
    ----------
    x : numpy.ndarray
        ``uint8``, shape ``(n, h, w, c)``, values 0…255.
    y : numpy.ndarray
        ``int64``, shape ``(n,)``, indices into ``task.label_names``.
    domain : Domain
    task : Task
    split : str
        Which of the disjoint splits this is.
    ids : numpy.ndarray
        Strings, shape ``(n,)``: what each example *is* (a garment's number, an emoji's code point, a photograph's
        file). Two splits are disjoint when their ids are.
    boxes : numpy.ndarray, optional
        ``float32``, shape ``(n, 4)``: left, top, right, bottom in pixels; right and bottom are exclusive.
    masks : numpy.ndarray, optional
        ``bool``, shape ``(n, h, w)``.
    texts : numpy.ndarray, optional
        Strings, shape ``(n,)``.
    sources : numpy.ndarray, optional
        Strings, shape ``(n,)``: which collection each example comes from, where there are several.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    x: np.ndarray
    y: np.ndarray
    domain: Domain
    task: Task
    split: str
    ids: np.ndarray
    boxes: np.ndarray | None = None
    masks: np.ndarray | None = None
    texts: np.ndarray | None = None
    sources: np.ndarray | None = None

    def __post_init__(self):
        if self.x.ndim != 4 or self.x.dtype != np.uint8:
            raise ValueError(f"x must be uint8 of shape (n, h, w, c), not {self.x.dtype} of shape {self.x.shape}.")
        if self.y.dtype != np.int64 or (len(self.y) and not 0 <= self.y.min() <= self.y.max() < len(self.label_names)):
            raise ValueError(
                f"y must be int64 in 0…{len(self.label_names) - 1}, the classes of task {self.task.name!r}."
            )
        shapes = {
            "y": (len(self.x),),
            "ids": (len(self.x),),
            "boxes": (len(self.x), 4),
            "masks": self.x.shape[:3],
            "texts": (len(self.x),),
            "sources": (len(self.x),),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}; with x of shape {self.x.shape} it must be {shape}.")
        for name in ("x", *shapes):
            array = getattr(self, name)
            if array is not None:
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    @property
    def label_names(self):
        """Names of the classes, in the order of their indices."""
        return self.task.label_names

    def __len__(self):
        return len(self.x)

    def __repr__(self):
        h, w, c = self.x.shape[1:]
        return (
            f"Dataset({self.domain.name!r}, task {self.task.name!r}, split {self.split!r}: "
            f"{len(self)} images of {h}×{w}×{c}, {len(self.label_names)} classes)"
        )

    def subset(self, rows):
        """Return the examples in `rows`.

        Parameters
        ----------
        rows : array-like of int or bool
            Indices, or a mask of shape ``(n,)``.

        Returns
        -------
        Dataset
        """
        per_example = ("x", "y", "ids", "boxes", "masks", "texts", "sources")
        chosen = {name: getattr(self, name)[rows] for name in per_example if getattr(self, name) is not None}
        return dataclasses.replace(self, **chosen)


def sample_budget(data, per_class, *, seed):
    """Draw a label budget: the same number of labelled examples from every class.

    Budgets are nested: with one seed, the sample for 5 per class is contained in the sample for 10.

    Parameters
    ----------
    data : Dataset
    per_class : int
        Examples per class, at least 1.
    seed : int
        Another seed draws another sample.

    Returns
    -------
    Dataset
        ``per_class × number of classes`` examples, classes interleaved, so that any prefix is balanced as well.

    Raises
    ------
    ValueError
        If a class has fewer than `per_class` examples; the message names it.
    """
    if per_class < 1:
        raise ValueError(f"per_class must be at least 1, not {per_class}.")
    counts = np.bincount(data.y, minlength=len(data.label_names))
    for name, count in zip(data.label_names, counts, strict=True):
        if count < per_class:
            raise ValueError(
                f"Class {name!r} has {count} examples in split {data.split!r} of {data.domain.name}, fewer than "
                f"the {per_class} asked for. Ask for at most {counts.min()}."
            )
    rows = draw_per_class(data.y, per_class, seed=seed)
    return data.subset(rows.reshape(len(counts), per_class).T.ravel())


def draw_per_class(y, per_class, *, seed):
    """Draw rows class by class: so many of each, or all that there are of a rare one.

    Parameters
    ----------
    y : numpy.ndarray
        Class indices ``(n,)``.
    per_class : int
    seed : int or sequence of int
        With one seed, a smaller draw is part of a larger one.

    Returns
    -------
    numpy.ndarray
        Rows, the classes one after the other.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == label][:per_class] for label in np.unique(y)])


def rows_of(ids, wanted):
    """Return where some examples stand.

    Parameters
    ----------
    ids, wanted : sequence of str
        Of all examples, and of those looked for, which are among them.

    Returns
    -------
    numpy.ndarray
        ``(len(wanted),)``, indices into `ids`.
    """
    place = {name: row for row, name in enumerate(ids)}
    return np.array([place[name] for name in wanted])


def keep_classes(data, names):
    """Keep the examples of some classes and number these anew, in the order given.

    Parameters
    ----------
    data : Dataset
    names : sequence of str
        Names of classes of `data`.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If `data` has no such class.
    """
    for name in names:
        if name not in data.label_names:
            raise ValueError(
                f"There is no class {name!r} in {data.task.name}; there are {', '.join(data.label_names)}."
            )
    new = np.full(len(data.label_names), -1)
    new[[data.label_names.index(name) for name in names]] = np.arange(len(names))
    kept = data.subset(new[data.y] >= 0)
    task = dataclasses.replace(data.task, label_names=tuple(names))
    return dataclasses.replace(kept, y=new[kept.y].astype("int64"), task=task)


def with_wrong_labels(data, share, *, seed):
    """Replace some labels by wrong ones, each other class being equally likely: careless or scraped annotation.

    Parameters
    ----------
    data : Dataset
        At least two classes.
    share : float
        0…1; of all labels, rounded to whole ones.
    seed : int

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If `share` is outside 0…1 or there is only one class.
    """
    n_classes = len(data.label_names)
    if not 0 <= share <= 1 or n_classes < 2:
        raise ValueError(f"share must be 0…1 and there must be two classes or more, not {share} and {n_classes}.")
    random = np.random.default_rng(seed)
    rows = random.permutation(len(data))[: round(share * len(data))]
    y = data.y.copy()
    y[rows] = (y[rows] + random.integers(1, n_classes, len(rows))) % n_classes
    return dataclasses.replace(data, y=y)
