"""Inside the fork server: load torch and Triton, then fork a child for each request that comes.

Triton is another one where its interpreter is asked for, from the moment that it is loaded. So
the fork server itself loads torch alone, and passes each request to a branch: a fork of it, made
when it is first needed, that has loaded Triton as this request wants it, and what else it asks for.

A branch (`child_branch`) loads our own modules for a kind of job when the first of that kind
comes, forks each job's child, and tells how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterable

from warpwright.sandbox.child_branch import fork_for_each, load, receive

# What nearly every job's child loads. The second is what torch makes of a tensor without data; it
# brings sympy, which takes a third of a second.
FOR_ALL = ("torch", "torch.fx.experimental.symbolic_shapes")
# Triton itself loads the second when it meets the first tensor of a launch.
IN_A_BRANCH = ("triton", "triton.experimental.gluon.nvidia.hopper")
BRANCH_VARIABLE = "TRITON_INTERPRET"

Branch = tuple[str, tuple[str, ...]]  # the variable's value, and what is loaded besides


def main(descriptor: int) -> None:
    """Serve requests from the socket `descriptor` until its other end is closed."""
    requests = socket.socket(fileno=descriptor)
    load(FOR_ALL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # branches are nobody's to wait for
    branches: dict[Branch, socket.socket] = {}
    while (request := receive(requests)) is not None:
        message, descriptors = request
        told = json.loads(message)
        wanted = (told["environment"].get(BRANCH_VARIABLE, ""), tuple(told["loads"]))
        if wanted not in branches:
            not_its_own = [requests.fileno(), *descriptors]
            not_its_own += [other.fileno() for other in branches.values()]
            branches[wanted] = _new_branch(wanted, not_its_own)
        try:
            socket.send_fds(branches[wanted], [message], descriptors)
        except OSError:  # it was killed: who asked sees that no child came
            branches.pop(wanted).close()
        for passed in descriptors:
            os.close(passed)


def _new_branch(wanted: Branch, not_its_own: Iterable[int]) -> socket.socket:
    """Fork a branch, and let it load what it is for; where it takes requests."""
    interpreted, others = wanted
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        for descriptor in (ours.fileno(), *not_its_own):
            os.close(descriptor)
        if interpreted:
            os.environ[BRANCH_VARIABLE] = interpreted
        load((*IN_A_BRANCH, *others))
        fork_for_each(theirs)
    theirs.close()
    return ours
