"""`python -m asyncbatch` is the `asyncbatch` command."""

from asyncbatch.cli import main

if __name__ == "__main__":
    main()
