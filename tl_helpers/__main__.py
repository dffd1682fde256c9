"""``python -m tl_helpers``: see :mod:`tl_helpers.command_line`."""

import sys

from tl_helpers.files import DataError

if __name__ == "__main__":
    try:
        from tl_helpers.command_line import main  # which reads tables of the data

        main()
    except DataError as error:
        sys.exit(f"{error}")
