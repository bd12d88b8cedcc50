"""`python -m tests.outbox` runs the soak of the relay."""

from .soak import main

if __name__ == "__main__":
    main()
