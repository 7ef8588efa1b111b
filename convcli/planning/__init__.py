"""From FILTER text to a plan: parse, bind each step to a signal, describe and export it."""
