from .adaptation import PHOTO_PAIRS as PHOTO_PAIRS
from .catalogue import STUDIES as STUDIES
from .features import (
    CHANCE as CHANCE,
    PREPARATIONS as PREPARATIONS,
    TARGETS as TARGETS,
    family_of_emoji as family_of_emoji,
    retrieve as retrieve,
    scene_from_family as scene_from_family,
    street_activations as street_activations,
)
from .freezing import DEPTHS as DEPTHS, FREEZING_TARGETS as FREEZING_TARGETS
from .frozen_features import (
    FAMILIES_TO_TRANSFER as FAMILIES_TO_TRANSFER,
    STAGES as STAGES,
    backbone_with as backbone_with,
    features_of as features_of,
    load_family as load_family,
    pictures_of as pictures_of,
)
from .live import run_now as run_now
from .merging import break_evens as break_evens, wrong_labels as wrong_labels
from .multitask import learn_sketches as learn_sketches
from .parallel import labelled_pictures as labelled_pictures
from .posed_emoji import see_through as see_through, train_posed_source as train_posed_source
from .route_results import route_gains as route_gains, route_verdict as route_verdict
from .street import rare_shares as rare_shares
from .study import Study as Study
from .text import emoji_with_text as emoji_with_text
from .tuning import measure as measure, tune as tune
