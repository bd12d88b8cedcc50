"""What both clients share: values, dialects, the flow of one push, and the bookkeeping of many. No I/O happens here."""
