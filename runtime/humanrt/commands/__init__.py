"""The sub-commands of ``humanrt``, a module each: ``add_parser(subparsers)`` and ``run(arguments)`` -> exit status."""
