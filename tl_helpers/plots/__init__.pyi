from .charts import (
    MARKERS as MARKERS,
    PALETTE as PALETTE,
    bars as bars,
    confusion as confusion,
    curves as curves,
    differences as differences,
    dots as dots,
    draw_boxes as draw_boxes,
    images as images,
    in_words as in_words,
    overview as overview,
    panels as panels,
    picture_rows as picture_rows,
    route_matrix as route_matrix,
    say as say,
    show as show,
)
from .displays import Display as Display, accuracy as accuracy, gain as gain
