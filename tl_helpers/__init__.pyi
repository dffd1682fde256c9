"""What a learner calls. This list is read at run time, too: a name is loaded from its module when it is first used."""

from . import plots as plots
from .datasets.dataset import (
    Dataset as Dataset,
    Domain as Domain,
    Task as Task,
    keep_classes as keep_classes,
    sample_budget as sample_budget,
)
from .datasets.emoji import load_emoji as load_emoji
from .datasets.photos import load_photos as load_photos
from .datasets.street import load_street as load_street, load_street_scenes as load_street_scenes
from .exercises import (
    check as check,
    compare_prediction as compare_prediction,
    hint as hint,
    my_calibration as my_calibration,
    solution as solution,
)
from .experiments.budgets import label_efficiency as label_efficiency, label_ratio as label_ratio
from .experiments.intervals import confidence_interval as confidence_interval, paired_difference as paired_difference
from .experiments.label_shift import estimate_prior as estimate_prior
from .experiments.similarity import cka as cka, domain_distance as domain_distance
from .experiments.stored import load_study as load_study
from .experiments.verdict import transfer_verdict as transfer_verdict
from .grid.run import run_grid as run_grid
from .grid.stored import study_provenance as study_provenance
from .models.backbones import (
    Backbone as Backbone,
    load_backbone as load_backbone,
    load_imagenet_classifier as load_imagenet_classifier,
    top_predictions as top_predictions,
)
from .models.features import extract_features as extract_features, probe as probe
from .models.heads import add_box_head as add_box_head, add_class_head as add_class_head
from .models.small_network import body_of as body_of, small_cnn as small_cnn
from .models.source_models import load_source_model as load_source_model
from .routes.taxonomy import ROUTES as ROUTES, find_route as find_route, route_of as route_of
from .session import start as start
from .training.evaluation import accuracy as accuracy
from .training.fit import fit_transfer as fit_transfer
from .training.freezing import freeze as freeze, unfreeze as unfreeze
from .training.learning_rate import lr_find as lr_find, tune_learning_rate as tune_learning_rate
from .training.report import trainable_report as trainable_report
from .training.stage_rates import discriminative_optimizer as discriminative_optimizer

__version__: str
