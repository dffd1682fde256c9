"""``python -m tl_helpers``: see :mod:`tl_helpers.command_line`."""

from tl_helpers.command_line import main

if __name__ == "__main__":
    main()
