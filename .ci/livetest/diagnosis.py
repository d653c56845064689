"""Broken clusters: each node that an operator may ask names the cause and the remedy, with the address of the node concerned.

Every check brings a cluster of its own into one state. It looks at GET /ready, `semisync health --ready`, `semisync status`,
the log and the `detail` of a write. It looks for essential words, not for sentences.
"""

from . import diagnosis_followers, diagnosis_leaders, diagnosis_limits
from .harness import Suite

suite = Suite("diagnosis", workers=8)
# Those that take longest come first.
suite.include(diagnosis_limits.suite, diagnosis_leaders.suite, diagnosis_followers.suite)
