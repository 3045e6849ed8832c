"""The matrix of meshes: backend × what is between the machines × what happens. `ci/lab meshes`.

| file | idea |
|---|---|
| `table` | which cells there are, and how they are printed |
| `rig` | a fleet with a mesh: three parties behind two routers, and an anchor that all can reach |
| `cases` | what happens, and what must come of it |
| `strangers` | who connects first, and is in no session; `stranger` is the program that does it |
| `measure` | what can be measured of a mesh: one function for each |
| `byhand` | the same daemons configured by hand, to compare with |
| `opened` | the built-in mesh carries a program that was started by hand |
| `bench` | `ci/bench meshes`: joining, round trips, a program's time, memory, a cable that is moved |
| `bad` | what a mesh cannot work with, and what its machines are to say |
| `causes`, `uncontrolled` | what goes wrong: no device, a port that is taken, an impostor, …; and with a control server |
| `signers` | certificates that two owners have to sign |
| `onions` | a Tor network of the laboratory's own; what is different with it |
| `headscale`, `controlled` | a control server of the fleet's own; what is different with one |

Everything is done by the owner's commands, and seen from the outside: by what the machines say of themselves, by receipts,
and by what a program prints.
"""
