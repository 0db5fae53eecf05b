"""Find poses in an archive of recordings: an index on disk, searched by a pose."""
