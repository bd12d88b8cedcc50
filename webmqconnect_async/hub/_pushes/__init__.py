"""The two push formats: that of the WebMQ hub, and that of Crossbar.io's HTTP bridge."""
