"""The log itself: one writer, pages and tails for all readers, and the verbs over them."""
