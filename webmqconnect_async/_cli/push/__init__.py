"""The command `webmqconnect push`: one event, or a file of them."""
