"""Which of the eight routes is my problem on, and what does it gain? Three questions, and an experiment per answer.

The taxonomy is Luminovo's ("New Perspectives on Transfer Learning", 2020): three questions with two answers each. Its
author calls the definitions opinionated; those below are in our words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tl_helpers.arguments import check_choice
from tl_helpers.datasets.animal_scenes import load_animal_scenes
from tl_helpers.datasets.luggage import load_luggage
from tl_helpers.datasets.posed_emoji import load_posed_groups
from tl_helpers.datasets.scraped_photos import SCRAPED_FAMILIES
from tl_helpers.routes.pairs import (
    Pair,
    digits,
    drawings,
    mammals_in_scenes,
    photographs,
    pictures,
    scraped,
    six_mammals,
    things,
    zeros_and_ones,
)

ORDERS = ("sequential", "simultaneous")
_GROUPS = ("animal", "body", "face", "food", "object", "person", "symbol", "vehicle")
_MAMMALS = ("horse face", "orangutan", "rat", "zebra", "mammoth", "raccoon")


@dataclass(frozen=True)
class Route:
    """One of the eight ways in which knowledge gets from one task to another.

    Parameters
    ----------
    name : str
        As the taxonomy has it.
    same_task : bool
        Whether source and target ask the same kind of question: both classify, or both detect.
    same_domain : bool
        Whether their inputs come from one feature space and one distribution.
    order : {"sequential", "simultaneous"}
        One after the other, or both at once.
    definition : str
    example : str
        The taxonomy's own.
    ours : str
        The recognisable counterpart that this kit runs.
    study : str
        Its experiment: a key of :data:`tl_helpers.studies.catalogue.STUDIES`.
    pair : Pair
        Its source and target.
    """

    name: str
    same_task: bool
    same_domain: bool
    order: str
    definition: str
    example: str
    ours: str
    study: str
    pair: Pair = field(repr=False, compare=False)


ROUTES = (
    Route(
        "Task Fine-Tuning",
        True,
        True,
        "sequential",
        "A model goes on learning the task it knows, on the same kind of input, in more detail.",
        "an ImageNet classifier learns to tell breeds of dogs",
        "a network that knows eight groups of emoji learns to tell six mammals that it never saw",
        "route_task_fine_tuning",
        Pair(
            lambda n, seed: load_posed_groups(n, seed=seed),
            six_mammals,
            label_map=dict.fromkeys(_MAMMALS, "animal"),
        ),
    ),
    Route(
        "Domain Adaptation",
        True,
        False,
        "sequential",
        "The question stays, the inputs come from elsewhere.",
        "a classifier of photographs learns to say healthy or ill of x-rays",
        "a classifier of emoji in colour learns to sort black line art into the same eight groups",
        "route_domain_adaptation",
        Pair(drawings("openmoji", "train"), drawings("black", "test"), label_map={name: name for name in _GROUPS}),
    ),
    Route(
        "Task Adaptation",
        False,
        True,
        "sequential",
        "The inputs stay, the question is another: the old model's features serve a new head.",
        "a classifier's backbone serves to detect objects",
        "a network that names things cut out of scenes serves to find the animal in such scenes",
        "route_task_adaptation",
        Pair(
            things,
            lambda n, seed: load_animal_scenes(n=n, seed=2 * seed + 1),
            questions=("classify", "detect"),
            counterparts=("animal",),
        ),
    ),
    Route(
        "Modality Transfer",
        False,
        False,
        "sequential",
        "Inputs and question are both new, and only the kind of signal (here, images) is shared.",
        "a classifier of everyday photographs serves to find carcinoma in x-rays",
        "an ImageNet network serves to find the tool in x-rays of luggage",
        "route_modality_transfer",
        Pair(photographs, lambda n, seed: load_luggage(n=n, seed=seed), questions=("classify", "detect")),
    ),
    Route(
        "Dataset Merging",
        True,
        True,
        "simultaneous",
        "More examples of the same, from another source, are thrown in with one's own.",
        "images scraped from the web are added to ImageNet",
        "scraped thumbnails with careless labels are added to one's own few photographs of seven families",
        "route_dataset_merging",
        Pair(scraped("scraped"), scraped("own"), label_map={name: name for name in SCRAPED_FAMILIES}, pixels=24),
    ),
    Route(
        "Weight Sharing",
        True,
        False,
        "simultaneous",
        "One network learns the same labels from two kinds of input at once.",
        "the text recognised on a page and its image go into one representation",
        "one network learns small digits, of which three each have labels, and those of MNIST, of which many have",
        "route_weight_sharing",
        Pair(digits("mnist"), digits("small"), label_map={digit: digit for digit in "0123456789"}, pixels=8),
    ),
    Route(
        "Multi-Task Learning",
        False,
        True,
        "simultaneous",
        "One trunk answers several questions about the same inputs at once.",
        "detection and road-marking segmentation on the same footage",
        "one network says which of six mammals stands in a scene, and where",
        "route_multi_task",
        Pair(mammals_in_scenes(0), mammals_in_scenes(1), questions=("classify", "detect")),
    ),
    Route(
        "Parallel Training",
        False,
        False,
        "simultaneous",
        "Two problems that have nothing to do with each other share a trunk: the control that should gain nothing.",
        "content moderation beside the classification of e-mails",
        "naming garments beside telling zeros from ones",
        "route_parallel_training",
        Pair(zeros_and_ones, pictures("photo", "target")),
    ),
)


def route_of(*, same_task, same_domain, order):
    """Name the route of a problem.

    Parameters
    ----------
    same_task : bool
        Whether source and target are asked the same kind of question.
    same_domain : bool
        Whether the inputs come from the same feature space and distribution.
    order : {"sequential", "simultaneous"}
        Whether the source is learned first, or both at once.

    Returns
    -------
    Route

    Raises
    ------
    ValueError
        If an answer is none of those above.

    Examples
    --------
    >>> route_of(same_task=True, same_domain=False, order="sequential").name
    'Domain Adaptation'
    """
    if not isinstance(same_task, bool) or not isinstance(same_domain, bool):
        raise ValueError(f"same_task and same_domain are True or False, not {same_task!r} and {same_domain!r}.")
    check_choice("order", order, ORDERS)
    asked = (same_task, same_domain, order)
    return next(route for route in ROUTES if (route.same_task, route.same_domain, route.order) == asked)


def find_route(name):
    """Return the route of that name.

    Parameters
    ----------
    name : str or Route
        Such as ``"Domain Adaptation"``, in any case; a route is returned as it is.

    Returns
    -------
    Route

    Raises
    ------
    ValueError
        If there is none.
    """
    if isinstance(name, Route):
        return name
    found = [route for route in ROUTES if route.name.lower() == str(name).lower()]
    if not found:
        raise ValueError(f"There is no route {name!r}; there are {', '.join(route.name for route in ROUTES)}.")
    return found[0]


def source_and_target(route, *, n=400, seed=0):
    """Draw pictures of a route's source and target.

    Parameters
    ----------
    route : Route or str
    n : int
        Pictures of each.
    seed : int

    Returns
    -------
    source, target : Dataset
        As the networks see them.

    Raises
    ------
    ValueError
        If there is no such route.
    """
    return find_route(route).pair.draw(n=n, seed=seed)
