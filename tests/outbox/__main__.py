"""`python -m tests.outbox`: a soak."""

from .soak import main

if __name__ == "__main__":
    main()
