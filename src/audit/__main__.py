"""`python -m audit`: the command line, for where the installed script is not on the path."""

from audit.cli import main

if __name__ == "__main__":
    main()
