"""humanrt_export: creation of bundles (conversion, networks, precision, training). Not needed at run time."""
