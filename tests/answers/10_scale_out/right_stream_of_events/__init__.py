"""All processes read one stream of events with XREAD; nothing is published."""
