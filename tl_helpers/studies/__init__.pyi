from .adaptation import PHOTO_PAIRS as PHOTO_PAIRS, adapt_sketches as adapt_sketches, load_family as load_family
from .catalogue import ROUTE_STUDIES as ROUTE_STUDIES, STUDIES as STUDIES
from .emoji import FAMILIES_TO_TRANSFER as FAMILIES_TO_TRANSFER
from .features import (
    CHANCE as CHANCE,
    PREPARATIONS as PREPARATIONS,
    STAGES as STAGES,
    TARGETS as TARGETS,
    attribute_scores as attribute_scores,
    backbone_with as backbone_with,
    features_of as features_of,
    pictures_of as pictures_of,
    retrieve as retrieve,
    scene_from_family as scene_from_family,
    street_activations as street_activations,
)
from .freezing import DEPTHS as DEPTHS, FREEZING_TARGETS as FREEZING_TARGETS, freezing_sweep as freezing_sweep
from .multitask import learn_sketches as learn_sketches
from .route_results import route_gains as route_gains, route_verdict as route_verdict, run_route as run_route
from .routes import COMPARISONS as COMPARISONS
from .street import rare_shares as rare_shares
from .study import Study as Study
from .text import emoji_text as emoji_text, emoji_with_text as emoji_with_text
from .tuning import measure as measure, tune as tune
