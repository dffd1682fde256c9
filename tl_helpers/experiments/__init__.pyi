from .budgets import label_efficiency as label_efficiency, label_ratio as label_ratio
from .design import Arm as Arm, Axis as Axis
from .intervals import confidence_interval as confidence_interval, paired_difference as paired_difference
from .label_shift import adjust_to_prior as adjust_to_prior, estimate_prior as estimate_prior
from .similarity import cka as cka, domain_distance as domain_distance
from .statistics import holm as holm
from .stored import StoredStudy as StoredStudy, load_study as load_study
from .verdict import TransferVerdict as TransferVerdict, transfer_verdict as transfer_verdict
