"""humanrt_export: everything that makes bundles (conversion, networks, precision, training). Not needed at run time."""
