"""What a learner calls. This list is read at run time, too: a name is loaded from its module when it is first used."""

from .datasets.dataset import Dataset as Dataset, Domain as Domain, Task as Task, sample_budget as sample_budget
from .datasets.emoji import load_emoji as load_emoji
from .datasets.photos import load_photos as load_photos
from .datasets.street import load_street as load_street
from .experiments.budgets import label_efficiency as label_efficiency
from .experiments.intervals import confidence_interval as confidence_interval, paired_difference as paired_difference
from .experiments.similarity import cka as cka
from .experiments.verdict import transfer_verdict as transfer_verdict
from .grid.run import run_grid as run_grid
from .grid.stored import load_study as load_study, study_provenance as study_provenance
from .models.backbones import Backbone as Backbone, load_backbone as load_backbone
from .models.features import extract_features as extract_features
from .models.small_network import small_cnn as small_cnn
from .models.source_models import load_source_model as load_source_model
from .session import start as start
from .training.fit import fit_transfer as fit_transfer

__version__: str
