"""The commands of `humanrt-export`: one thin module each."""
