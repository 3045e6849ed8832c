"""`ci/lab faults`: a table, states of a session × what can happen to a machine.

| file | idea |
|---|---|
| `states` | how a session is brought into a state, and kept there while something happens |
| `strikes` | what happens |
| `rig` | the fleet that it happens to, and what must hold afterwards |
| `table` | runs the cells and prints them |
"""
