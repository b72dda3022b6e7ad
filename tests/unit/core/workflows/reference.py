"""The rules of a run as a fixpoint over what has ended: written from docs/workflows.md, and not from the engine.

It keeps no log and no queue. After each end it judges the whole graph anew, and says what every node is.
"""

from __future__ import annotations

DONE = {"completed", "failed", "timeout", "skipped", "cancelled"}


class Reference:
    """``nodes``: id -> (mode, n, others). ``edges``: (source, target, on, case). Node 0 is the trigger."""

    def __init__(self, nodes, edges):
        self.nodes, self.edges = nodes, edges
        self.state = dict.fromkeys(nodes, "pending")
        self.reason, self.case = {}, {}
        self.run = "running"
        self.state[next(iter(nodes))] = "completed"
        self.look()

    def live(self, edge):
        """True or False; None while it is open. A cancelled source leaves no live edge but into all_settled."""
        source, target, on, case = edge
        was = self.state[source]
        if was not in DONE:
            return None
        if self.nodes[target][0] == "all_settled":
            return was != "skipped"
        if case:
            return was == "completed" and self.case.get(source) == case
        ons = {e[2] for e in self.edges if e[0] == source and not e[3]}
        rejected = self.reason.get(source) == "rejected"
        failure = (was == "timeout" and "timeout" not in ons) or (
            was == "failed" and not (rejected and "rejected" in ons)
        )
        means = {"success": was == "completed", "failure": failure, "timeout": was == "timeout", "always": True,
                 "rejected": rejected, "skipped": was == "skipped"}  # fmt: skip
        return was != "cancelled" and means[on]

    def only_to(self, node, join):
        """Whether every way from ``node`` ends in ``join``."""
        targets = [e[1] for e in self.edges if e[0] == node]
        return bool(targets) and all(t == join or self.only_to(t, join) for t in targets)

    def look(self):
        """Let nodes begin, be skipped or fail by their edges, until nothing changes; then see whether the run ended."""
        again = self.run == "running"
        while again:
            again = False
            for node, (mode, n, others) in self.nodes.items():
                ends = [self.live(e) for e in self.edges if e[1] == node]
                if self.state[node] != "pending" or not ends:
                    continue
                lives, opens = ends.count(True), ends.count(None)
                need = {"any": 1, "n_of": n}.get(mode)
                if (need is None and not opens and lives) or (need is not None and lives >= need):
                    self.state[node] = "running" if mode == "step" else "completed"
                    if others == "cancel" and mode != "step":
                        self.end_all(lambda x, join=node: self.only_to(x, join))
                elif not opens and not lives:
                    self.state[node] = "skipped"
                elif need is not None and lives and lives + opens < need:
                    self.state[node] = "failed"
                else:
                    continue
                again = True
        if not {"pending", "running"} & set(self.state.values()):
            taken = {e[0] for e in self.edges if self.live(e)}
            bad = any(s in ("failed", "timeout") and x not in taken for x, s in self.state.items())
            self.run = {"cancelling": "cancelled", "running": "failed" if bad else "completed"}.get(self.run, self.run)

    def end_all(self, which):
        for node, state in self.state.items():
            if state not in DONE and which(node):
                self.state[node] = "cancelled"

    def end(self, node, state, reason="", case=""):
        """A step ends."""
        if self.state[node] != "running":
            return
        if self.run == "cancelling" and state != "completed":
            state = "cancelled"
        self.state[node], self.reason[node], self.case[node] = state, reason, case
        self.look()

    def cancel(self):
        """What has not begun ends; what runs may end by itself."""
        self.run = "cancelling"
        self.end_all(lambda node: self.state[node] == "pending")
        self.look()
