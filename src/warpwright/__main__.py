"""`python -m warpwright` is the `warpwright` command."""

from warpwright.cli.main import run

if __name__ == "__main__":
    run()
