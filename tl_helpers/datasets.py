"""What data do we have? Three worlds (street, emoji, photographs), each in several domains and tasks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tl_helpers.files import read_sheet, read_table
from tl_helpers.street import VIEWS, make_pictures, make_scenes


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
    order = np.random.default_rng(seed).permutation(len(data))
    columns = []
    for label, name in enumerate(data.label_names):
        rows = order[data.y[order] == label]
        if len(rows) < per_class:
            most = np.bincount(data.y, minlength=len(data.label_names)).min()
            raise ValueError(
                f"Class {name!r} has {len(rows)} examples in split {data.split!r} of {data.domain.name}, fewer than "
                f"the {per_class} asked for. Ask for at most {most}."
            )
        columns.append(rows[:per_class])
    return data.subset(np.stack(columns, axis=1).ravel())


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


# ---------------------------------------------------------------- street


GARMENTS = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FAMILIES = {
    "tops": ("T-shirt", "pullover", "coat", "shirt"),
    "trousers": ("trousers",),
    "dresses": ("dress",),
    "shoes": ("sandal", "sneaker", "ankle boot"),
    "bags": ("bag",),
}
STREET_LABELS = {
    "garment": GARMENTS,
    "family": tuple(FAMILIES),
    "shoe": FAMILIES["shoes"],
    "digit": tuple("0123456789"),
}
_STREET_SPLITS = ("source", "target", "validation", "test")
_VIEW_WORDS = {
    "plain": "as published, on black",
    "photo": "turned, scaled, shifted, on a cluttered background",
    "sketch": "line drawing of a street photo",
    "xray": "inverted, blurred, low in contrast and noisy",
}


def _check_choice(argument, value, allowed):
    if value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")


@lru_cache(maxsize=2)
def _street_items(name):
    """Return all items of a kind (28×28), their class indices, numbers and pools."""
    table = read_table(f"street/{name}.csv")
    items = read_sheet(f"street/{name}.png", len(table), 28, "L")[..., 0]
    return items, table["label"].to_numpy("int64"), table["number"].to_numpy(), table["pool"].to_numpy(str)


def _street_pool(labels, split, n):
    """Return the first n items of a pool that belong to a label set: items, class indices, ids."""
    _check_choice("labels", labels, STREET_LABELS)
    _check_choice("split", split, _STREET_SPLITS)
    kind = "digits" if labels == "digit" else "garments"
    items, y, numbers, pools = _street_items(kind)
    if labels in ("family", "shoe"):
        groups = FAMILIES.values() if labels == "family" else [(name,) for name in FAMILIES["shoes"]]
        to_group = {GARMENTS.index(name): group for group, names in enumerate(groups) for name in names}
        y = np.array([to_group.get(label, -1) for label in range(len(GARMENTS))])[y]
    rows = np.flatnonzero((pools == split) & (y >= 0))
    if n is not None and not 1 <= n <= len(rows):
        raise ValueError(f"n must be 1…{len(rows)}, the pictures in split {split!r} with labels {labels!r}, not {n}.")
    rows = rows[:n]
    file = "test" if split == "test" and kind == "garments" else "train"
    return items[rows], y[rows], np.array([f"{kind}/{file}/{number}" for number in numbers[rows]])


def load_street(view="photo", split="source", *, n=None, seed=0, labels="garment", size=28, colour=False):
    """Load small pictures of garments or digits (made from Fashion-MNIST, Xiao et al. 2017, and MNIST).

    Parameters
    ----------
    view : {"photo", "sketch", "xray", "plain"}
        The domain; see :func:`tl_helpers.street.render`.
    split : {"source", "target", "validation", "test"}
        12,000 / 6,000 / 2,000 / 4,000 garments, never the same item in two splits; of digits 3,000 / 1,000 / 0 / 1,000.
    n : int, optional
        Only the first `n` pictures; the order is random, but fixed.
    seed : int
        Another seed poses the same items otherwise, on other backgrounds.
    labels : {"garment", "family", "shoe", "digit"}
        Ten garments, their five families, the three kinds of shoe (only shoes are loaded), or digits.
    size : {28, 56}
        Side in pixels.
    colour : bool
        Three channels with random tints instead of one.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 1 or 3)``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    _check_choice("view", view, VIEWS)
    _check_choice("size", size, (28, 56))
    items, y, ids = _street_pool(labels, split, n)
    x = make_pictures(items, view, size=size, colour=colour, seed=[seed, _STREET_SPLITS.index(split)])
    name = f"street/{view}" + (f"/{size}" if size != 28 else "") + ("/colour" if colour else "")
    domain = Domain(name, x.shape[1:], f"{'digits' if labels == 'digit' else 'garments'}, {_VIEW_WORDS[view]}")
    return Dataset(x, y, domain, Task(f"street/{labels}", STREET_LABELS[labels]), split, ids)


def load_street_scenes(view="photo", split="target", *, n, seed=0, target="sneaker", distractors="shoe"):
    """Load scenes of 56×56 pixels: one target to find among two other items, with its box and mask.

    Parameters
    ----------
    view : {"photo", "sketch", "xray"}
    split : {"source", "target", "validation", "test"}
        Scenes of two splits share no item.
    n : int
        Scenes to compose. Items are drawn from the split with replacement, each posed anew.
    seed : int
    target : str
        A garment, such as ``"sneaker"``, or a digit, such as ``"3"``; ``"any"`` for a target of any class, which
        then is the label; or, with distractors ``"garment"``, a family, such as ``"shoes"``, for a target of any of its
        kinds.
    distractors : {"shoe", "garment", "digit"}
        What the two others are: items of this label set, but not of the target's class or family.

    Returns
    -------
    Dataset
        With ``boxes`` and ``masks``. ``y`` is the target's class among `distractors`' label names, or, where the target
        is a family, its kind within the family.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    _check_choice("view", view, VIEWS[1:])
    _check_choice("distractors", distractors, ("shoe", "garment", "digit"))
    label_names = STREET_LABELS[distractors]
    # A family of one kind has either name; "trousers" is the garment, whose label is among all garments'.
    families = [name for name in FAMILIES if name not in label_names] if distractors == "garment" else []
    _check_choice("target", target, ("any", *label_names, *families))
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}.")
    items, y, ids = _street_pool(distractors, split, None)
    random = np.random.default_rng([seed, _STREET_SPLITS.index(split)])
    kind, group, wanted = y, y, np.arange(len(y))
    if target in families:
        label_names = FAMILIES[target]
        kind = np.array([label_names.index(name) if name in label_names else -1 for name in GARMENTS])[y]
        group, wanted = kind >= 0, np.flatnonzero(kind >= 0)
    elif target != "any":
        wanted = np.flatnonzero(y == label_names.index(target))
    targets = random.choice(wanted, n)
    others = random.integers(0, len(y), (2, n))
    while (same := group[others] == group[targets]).any():
        others[same] = random.integers(0, len(y), same.sum())
    x, boxes, masks = make_scenes(
        items[targets], items[others.ravel()], view, seed=[seed, _STREET_SPLITS.index(split), 1]
    )
    domain = Domain(f"street/{view}/scene", x.shape[1:], f"three items in one scene, {_VIEW_WORDS[view]}")
    task = Task(f"street/find {target}", label_names)
    return Dataset(x, kind[targets], domain, task, split, ids[targets], boxes=boxes, masks=masks)


# ---------------------------------------------------------------- emoji


EMOJI_STYLES = {
    "noto": "Google's Noto, shaded flat drawings",
    "twemoji": "Twemoji, flat drawings that fill the square",
    "openmoji": "OpenMoji, flat drawings with a black outline",
    "black": "OpenMoji's black line art",
    "fluent": "Microsoft's Fluent, three-dimensional renderings",
}
EMOJI_LABELS = ("clean8", "group", "subgroup", "family", "animal", "food", "face")
EMOJI_FOLDS = 10
_EMOJI_SIZE = 64
_EMOJI_SPLITS = ("train", "validation", "test", "all")
_SMALLEST_SUBGROUP = 12


@lru_cache(maxsize=1)
def _emoji_table():
    return read_table("emoji/emoji.csv")


@lru_cache(maxsize=len(EMOJI_STYLES))
def _emoji_drawings(style):
    """Return all drawings of a style, (n, 64, 64, 4), in the order of the table."""
    drawings = read_sheet(f"emoji/{style}.webp", len(_emoji_table()), _EMOJI_SIZE, "RGBA")
    drawings.flags.writeable = False
    return drawings


def _on_white(drawings):
    """Put drawings with alpha onto white: (n, h, w, 4) → (n, h, w, 3)."""
    x = np.empty((*drawings.shape[:3], 3), "uint8")
    for picture, drawing in zip(x, drawings, strict=True):
        alpha = drawing[..., 3:].astype("uint16")
        picture[:] = (drawing[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return x


def _resize(pictures, size):
    """Resize square pictures of uint8, (n, h, h) or (n, h, h, 3)."""
    from PIL import Image

    if size == pictures.shape[1]:
        return pictures
    resized = np.empty((len(pictures), size, size, *pictures.shape[3:]), "uint8")
    for target, picture in zip(resized, pictures, strict=True):
        target[:] = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
    return resized


def load_emoji(style="noto", split="train", *, fold=0, labels="clean8", size=64):
    """Load emoji on white: the same 1,409 concepts in five styles, which are five domains.

    Within a fold no concept is in two splits, and a concept is in the same split in every style: what is learnt from
    one style is tested on other concepts in another. The same arguments give the same concepts in the same order in
    every style.

    Parameters
    ----------
    style : {"noto", "twemoji", "openmoji", "black", "fluent"}
        The domain.
    split : {"train", "validation", "test", "all"}
        About 73 % / 10 % / 17 % of the concepts; ``"all"`` is the three together, whatever the fold.
    fold : int
        0…9: which of ten divisions into splits.
    labels : {"clean8", "group", "subgroup", "family", "animal", "food", "face"}
        The task. ``"clean8"``: eight groups that look alike (859 concepts). ``"group"`` and ``"subgroup"``: Unicode's
        own (all concepts; of the subgroups those of at least twelve concepts). ``"family"``: the 13 families of the
        photographs. ``"animal"``, ``"food"``, ``"face"``: fine labels within one of the eight groups. Concepts without
        a label are left out.
    size : int
        Side in pixels, 8…512. Sizes other than 64 are resampled (Lanczos).

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 3)``; ``masks`` where the drawing covers at least half a pixel; ``texts`` the
        name, then keywords, separated by ``", "``; ``ids`` the code points, such as ``"1F9D1-200D-1F373"``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    _check_choice("style", style, EMOJI_STYLES)
    _check_choice("split", split, _EMOJI_SPLITS)
    _check_choice("fold", fold, range(EMOJI_FOLDS))
    _check_choice("labels", labels, EMOJI_LABELS)
    if size not in range(8, 513):
        raise ValueError(f"size must be a whole number of pixels, 8…512, not {size!r}.")
    table = _emoji_table()
    label = table[labels].where(table[labels] != "")
    if labels == "subgroup":
        label = label.where(label.map(label.value_counts()) >= _SMALLEST_SUBGROUP)
    label_names = PHOTO_FAMILIES if labels == "family" else tuple(sorted(label.dropna().unique()))
    chosen = label.notna() if split == "all" else label.notna() & (table[f"fold{fold}"] == split)
    rows, table = np.flatnonzero(chosen), table[chosen]
    drawings = _emoji_drawings(style)[rows]
    domain = Domain(f"emoji/{style}", (size, size, 3), f"emoji on white, {EMOJI_STYLES[style]}")
    return Dataset(
        x=_resize(_on_white(drawings), size),
        y=label[chosen].map(label_names.index).to_numpy("int64"),
        domain=domain,
        task=Task(f"emoji/{labels}", label_names),
        split=split,
        ids=table["codepoint"].to_numpy(str),
        masks=_resize(drawings[..., 3], size) >= 128,
        texts=(table["name"] + ", " + table["keywords"]).to_numpy(str),
    )


# ---------------------------------------------------------------- photographs


PHOTO_FAMILIES = (
    *("mammal", "bird", "sea animal", "bug", "fruit", "vegetable", "plant"),
    *("building", "vehicle", "tool", "household", "music", "sport"),
)
PHOTO_SCENES = ("under water", "grassland", "woodland", "sand and rock", "built", "studio")
PHOTO_LABELS = {"family": PHOTO_FAMILIES, "scene": PHOTO_SCENES}
PHOTO_SOURCES = {
    "gcompris": "full photographs with their surroundings (GCompris)",
    "tuxpaint": "cut-outs on white (Tux Paint's stamps)",
}
PHOTO_FOLDS = 10
_PHOTO_SPLITS = ("train", "validation", "test", "all")


@lru_cache(maxsize=1)
def _photo_table():
    """Return the tables of both sources, one below the other, with a column `source`."""
    import pandas

    tables = [read_table(f"photos/{source}/photos.csv").assign(source=source) for source in PHOTO_SOURCES]
    return pandas.concat(tables, ignore_index=True).fillna("")


@lru_cache(maxsize=2)
def _photo_pictures(name, size):
    """Return the pictures of both sources with alpha, (n, size, size, 4), in the order of the table."""
    table = _photo_table()
    wanted = table["large"] == "yes" if name == "large" else table["large"].notna()
    counts = table[wanted].groupby("source").size()
    sheets = [read_sheet(f"photos/{source}/{name}.webp", counts[source], size, "RGBA") for source in PHOTO_SOURCES]
    pictures = np.concatenate(sheets)
    pictures.flags.writeable = False
    return pictures


def photo_families(minimum=5, *, source="each"):
    """Return the families of which there are enough photographs, for the `families` of :func:`load_photos`.

    Parameters
    ----------
    minimum : int
        Photographs a family must have at least, all splits together.
    source : {"each", "all", "gcompris", "tuxpaint"}
        Where to count: in each of the two sources, in both together, or in one.

    Returns
    -------
    tuple of str
        In the order of ``PHOTO_FAMILIES``. The default gives five families that both sources have.

    Raises
    ------
    ValueError
        If `source` is none of those above.
    """
    _check_choice("source", source, ("each", "all", *PHOTO_SOURCES))
    counts = _photo_table().groupby(["family", "source"]).size().unstack(fill_value=0)
    number = {"each": counts.min(axis=1), "all": counts.sum(axis=1)}.get(source)
    if number is None:
        number = counts[source]
    return tuple(family for family in PHOTO_FAMILIES if number[family] >= minimum)


def load_photos(split="train", *, fold=0, labels="family", size=96, source="all", families=None):
    """Load the photographs: full ones from GCompris, cut-outs from Tux Paint.

    The two sources are two domains: surroundings against white, and other families. All buildings come from GCompris,
    all fruit, vegetables, plants, vehicles and instruments from Tux Paint, so report results by source as well.
    Photographs of one subject and of one series are never in two splits.

    Parameters
    ----------
    split : {"train", "validation", "test", "all"}
        About 60 % / 20 % / 20 % of each family of each source; ``"all"`` is the three together, whatever the fold.
    fold : int
        0…9: which of ten divisions into splits. Each photograph is in the test split of two.
    labels : {"family", "scene"}
        The task: what is shown (13 families, which the emoji have too), or what surrounds it (six scenes; only the 150
        photographs from GCompris whose surroundings are plain to see).
    size : int
        Side in pixels, 8…512. Sizes other than 96 are resampled (Lanczos), so larger ones show no more.
    source : {"all", "gcompris", "tuxpaint"}
    families : sequence of str, optional
        Only these families, in this order; see :func:`photo_families`. By default all 13.

    Returns
    -------
    Dataset
        ``x`` of shape ``(n, size, size, 3)``, cut-outs on white; ``masks`` for ``source="tuxpaint"``, where every
        photograph has one, otherwise None; ``sources`` ``"gcompris"`` or ``"tuxpaint"``; ``texts`` the name, such as
        ``"red panda"``; ``ids`` source and file, such as ``"tuxpaint/animals/birds/crow.png"``.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    """
    _check_choice("split", split, _PHOTO_SPLITS)
    _check_choice("fold", fold, range(PHOTO_FOLDS))
    _check_choice("labels", labels, PHOTO_LABELS)
    _check_choice("source", source, ("all", *PHOTO_SOURCES))
    if size not in range(8, 513):
        raise ValueError(f"size must be a whole number of pixels, 8…512, not {size!r}.")
    if labels == "scene" and source == "tuxpaint":
        raise ValueError(
            "labels 'scene' need source 'gcompris' or 'all': the cut-outs of 'tuxpaint' have no surroundings."
        )
    label_names = PHOTO_LABELS[labels]
    if families is not None:
        if labels != "family":
            raise ValueError(f"families go with labels 'family', not with {labels!r}.")
        for family in families:
            _check_choice("families", family, PHOTO_FAMILIES)
        label_names = tuple(dict.fromkeys(families))
    table = _photo_table()
    chosen = table[labels].isin(label_names)
    if split != "all":
        chosen &= table[f"fold{fold}"] == split
    if source != "all":
        chosen &= table["source"] == source
    name, words = ("photo", "photographs") if source == "all" else (f"photo/{source}", PHOTO_SOURCES[source])
    pictures = _photo_pictures("photos", 96)[np.flatnonzero(chosen)]
    return _photo_dataset(
        pictures, table[chosen], size, Domain(name, (size, size, 3), words), labels, label_names, split
    )


def load_large_photos():
    """Load the dozen photographs that are also there at 224 pixels: to show, and for an ImageNet classifier to name.

    Returns
    -------
    Dataset
        ``x`` of shape ``(12, 224, 224, 3)``, cut-outs on white; family, ``texts``, ``ids`` and ``sources`` as those of
        :func:`load_photos`, without masks.
    """
    table = _photo_table()
    table = table[table["large"] == "yes"]
    domain = Domain("photo/large", (224, 224, 3), "photographs, larger")
    return _photo_dataset(_photo_pictures("large", 224), table, 224, domain, "family", PHOTO_FAMILIES, "all")


def _photo_dataset(pictures, table, size, domain, labels, label_names, split):
    cut_out = domain.name == "photo/tuxpaint"
    return Dataset(
        x=_resize(_on_white(pictures), size),
        y=table[labels].map(label_names.index).to_numpy("int64"),
        domain=domain,
        task=Task(f"photo/{labels}", label_names),
        split=split,
        ids=(table["source"] + "/" + table["file"]).to_numpy(str),
        masks=_resize(pictures[..., 3], size) >= 128 if cut_out else None,
        texts=table["name"].to_numpy(str),
        sources=table["source"].to_numpy(str),
    )
