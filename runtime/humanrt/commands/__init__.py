"""Sub-commands of ``humanrt``, one module each: ``add_parser(subparsers)`` and ``run(arguments)`` -> exit status."""
