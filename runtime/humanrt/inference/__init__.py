"""Networks opened from bundles: graph variants, and graphs bound to buffers."""
