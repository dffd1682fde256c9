from .adaptation import (
    coral as coral,
    coral_loss as coral_loss,
    fit_coral as fit_coral,
    fit_dann as fit_dann,
    reversal_schedule as reversal_schedule,
    standardise as standardise,
)
from .evaluation import accuracy as accuracy, mean_recall as mean_recall
from .fit import FitResult as FitResult, fit_transfer as fit_transfer
from .freezing import (
    freeze as freeze,
    freeze_all_but as freeze_all_but,
    is_stale as is_stale,
    unfreeze as unfreeze,
)
from .learning_rate import lr_find as lr_find, tune_learning_rate as tune_learning_rate
from .lora import add_lora as add_lora, merge_lora as merge_lora
from .multitask import (
    fit_pcgrad as fit_pcgrad,
    forgetting as forgetting,
    pcgrad as pcgrad,
    scene_loss as scene_loss,
    weigh_by_uncertainty as weigh_by_uncertainty,
)
from .plan import STRATEGIES as STRATEGIES
from .report import trainable_report as trainable_report
from .saving import copy_model as copy_model, load_model as load_model, save_model as save_model
from .stage_rates import discriminative_optimizer as discriminative_optimizer
