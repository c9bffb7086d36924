"""Checking derivatives: against finite differences (`derivatives`), operator by operator in a running program
(`operators`), and one backend or precision against another (`replay`).

Where to read on: `differences`, how a slope and its error are measured; `search`, how a wrong element is found;
`report`, what is said of it.
"""
