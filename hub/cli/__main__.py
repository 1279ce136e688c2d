"""``python -m hub.cli``: the same as the ``maillon`` command."""

from hub.cli.main import main

if __name__ == "__main__":
    main()
