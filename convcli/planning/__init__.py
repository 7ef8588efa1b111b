"""From FILTER text to a plan.

Read the text, bind each step to the signal that reaches it, describe and export it.

`grammar` reads calls and `expressions` their operators, `arguments` reads values, `plan` binds
steps in order and `branches` those side by side, `describe` computes the facts about a plan.
"""
