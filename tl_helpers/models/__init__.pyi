from .backbones import (
    Backbone as Backbone,
    imagenet_class_names as imagenet_class_names,
    load_backbone as load_backbone,
    load_imagenet_classifier as load_imagenet_classifier,
    top_predictions as top_predictions,
)
from .boxes import (
    box_ap50 as box_ap50,
    box_iou as box_iou,
    box_loss as box_loss,
    box_scores as box_scores,
    decode_boxes as decode_boxes,
    encode_boxes as encode_boxes,
)
from .feature_maps import (
    activation_maps as activation_maps,
    find_peaks as find_peaks,
    receptive_fields as receptive_fields,
    strongest_patches as strongest_patches,
)
from .features import extract_features as extract_features, probe as probe
from .heads import (
    add_box_head as add_box_head,
    add_class_head as add_class_head,
    add_hidden_convolution as add_hidden_convolution,
    add_mask_head as add_mask_head,
)
from .masks import mask_iou as mask_iou, mask_loss as mask_loss
from .small_network import (
    adapt_input as adapt_input,
    body_of as body_of,
    rescale_activations as rescale_activations,
    small_cnn as small_cnn,
    small_cnn_body as small_cnn_body,
)
from .source_models import SOURCE_MODELS as SOURCE_MODELS, load_source_model as load_source_model
