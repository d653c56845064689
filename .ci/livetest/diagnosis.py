"""Broken clusters: every place where an operator looks names the cause, the remedy and the node.

Each check brings a cluster of its own into one state. It reads GET /ready, `semisync health --ready`,
`semisync status`, the log and the `detail` of a write, and expects essential words, not sentences.
"""

from . import diagnosis_followers, diagnosis_leaders, diagnosis_limits
from .harness import Suite

suite = Suite("diagnosis", workers=8)
# Those that take longest come first.
suite.include(diagnosis_limits.suite, diagnosis_leaders.suite, diagnosis_followers.suite)
