from .identity import fingerprint as fingerprint
from .run import GridError as GridError, run_grid as run_grid
from .stored import load_table as load_table, save_study as save_study, study_provenance as study_provenance
from .workers import WORKER_ENVIRONMENT as WORKER_ENVIRONMENT
