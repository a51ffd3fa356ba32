"""Between values and bytes: keys, events, commits, segments, terms and cursors. Pure."""
