from .accuracies import accuracy as accuracy, accuracy_panels as accuracy_panels
from .charts import (
    MARKERS as MARKERS,
    PALETTE as PALETTE,
    curves as curves,
    differences as differences,
    dots as dots,
    draw_boxes as draw_boxes,
    images as images,
    in_words as in_words,
    panels as panels,
    picture_rows as picture_rows,
    say as say,
    show as show,
)
from .display import Display as Display
from .gains import gain as gain, gains as gains
from .pictures import pictures as pictures
from .summaries import bars as bars, confusion as confusion, route_matrix as route_matrix
