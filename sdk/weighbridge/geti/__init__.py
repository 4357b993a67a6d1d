"""Where trained models come from: a Geti server, through one interface whoever speaks to it.

Also part of the server, so nothing here knows of our own client.
"""
