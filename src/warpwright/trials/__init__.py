"""Candidates of a request on a GPU of this machine: screened, then one decided on.

`setup` opens the processes and the ledger, `entrants` says what is measured, `screening` measures
each config beside the parent, `finals` decides on the emitted program, `apart` measures what
device time does not hold. Every piece of work is kept as soon as it is finished.
"""
