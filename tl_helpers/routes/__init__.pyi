from .gaps import distance as distance, domain_gap as domain_gap, split_gap as split_gap
from .taxonomy import (
    ROUTES as ROUTES,
    Route as Route,
    find_route as find_route,
    route_of as route_of,
    source_and_target as source_and_target,
)
