"""``python -m tl_helpers``: see :mod:`tl_helpers.command_line`."""

import sys

from tl_helpers.files import DataError
from tl_helpers.studies.dependencies import UnknownDependency

if __name__ == "__main__":
    try:
        from tl_helpers.command_line import main  # which reads tables of the data

        sys.exit(main())
    except (DataError, UnknownDependency) as error:
        sys.exit(f"{error}")
