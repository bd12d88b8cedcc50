"""What both clients share: values, dialects, the flow of one push, the bookkeeping of many. It does no network I/O."""
