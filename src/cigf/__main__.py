"""`python -m cigf` is the command `cigf`."""

from cigf.cli.main import main

if __name__ == "__main__":
    main()
