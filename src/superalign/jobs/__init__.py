"""Map a pure function over items, in order: here, over processes or a cluster; memoised by digest, resumable after a kill."""

from superalign.inputs import Into as Into
from superalign.jobs.executors import executor_named as executor_named
from superalign.jobs.executors import using as using
from superalign.jobs.mapping import run as run
from superalign.jobs.memo import Memo as Memo
from superalign.jobs.processes import Processes as Processes
from superalign.jobs.work import Executor as Executor
from superalign.jobs.work import starved as starved
