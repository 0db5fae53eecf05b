"""One archive with a bundle and everything that runs and checks it on another machine: ``humanrt-export pack``."""
