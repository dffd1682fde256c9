from .channels import feature_explorer as feature_explorer, feature_figure as feature_figure
from .depth import freeze_explorer as freeze_explorer, freeze_figure as freeze_figure
from .labels import wrong_labels_explorer as wrong_labels_explorer, wrong_labels_figure as wrong_labels_figure
from .route import route_explorer as route_explorer, route_figure as route_figure
