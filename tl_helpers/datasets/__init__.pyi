from .animal_scenes import (
    compose_animal_scenes as compose_animal_scenes,
    crop_things as crop_things,
    load_animal_scenes as load_animal_scenes,
)
from .collections import (
    digits_in_frames as digits_in_frames,
    enlarge_digits as enlarge_digits,
)
from .dataset import (
    Dataset as Dataset,
    Domain as Domain,
    Task as Task,
    draw_per_class as draw_per_class,
    keep_classes as keep_classes,
    sample_budget as sample_budget,
    with_wrong_labels as with_wrong_labels,
)
from .emoji import EMOJI_STYLES as EMOJI_STYLES, load_cut_outs as load_cut_outs, load_emoji as load_emoji
from .emoji_on_photos import ON_PHOTO_GROUPS as ON_PHOTO_GROUPS, load_emoji_on_photos as load_emoji_on_photos
from .luggage import FALSE_COLOURS as FALSE_COLOURS, load_luggage as load_luggage, thickness as thickness
from .mammal_scenes import compose_mammal_scenes as compose_mammal_scenes, load_mammal_scenes as load_mammal_scenes
from .online import load_online as load_online
from .photos import (
    PHOTO_FAMILIES as PHOTO_FAMILIES,
    load_large_photos as load_large_photos,
    load_photos as load_photos,
    photo_families as photo_families,
)
from .posed_emoji import (
    POSED_STYLES as POSED_STYLES,
    draw_mammals as draw_mammals,
    load_posed_groups as load_posed_groups,
    load_posed_mammals as load_posed_mammals,
    mammals_set_aside as mammals_set_aside,
)
from .scraped_photos import load_scraped_photos as load_scraped_photos, shrink_and_blow_up as shrink_and_blow_up
from .sprites import coloured_grounds as coloured_grounds, lay as lay, pose_sprite as pose_sprite
from .street import (
    FAMILIES as FAMILIES,
    GARMENTS as GARMENTS,
    STREET_LABELS as STREET_LABELS,
    load_street as load_street,
    load_street_scenes as load_street_scenes,
)
from .street_pictures import VIEWS as VIEWS
