from .accuracies import accuracy as accuracy, accuracy_panels as accuracy_panels
from .charts import (
    curves as curves,
    say as say,
    show as show,
)
from .display import Display as Display
from .gains import gain as gain, gains as gains
from .pictures import pictures as pictures
from .summaries import bars as bars, confusion as confusion, route_matrix as route_matrix
