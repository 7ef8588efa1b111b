"""From FILTER text to a plan.

Read the text, bind each step to the signal that reaches it, describe and export it.

`grammar` reads calls, `arguments` reads their values, `plan` binds them in order, `describe` tells
the facts.
"""
