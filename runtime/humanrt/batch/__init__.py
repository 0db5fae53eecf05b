"""Many files: each becomes a recording, by several processes, and the same call goes on where it was cut off."""

from humanrt.batch.jobs import Job, Report, find_sources, plan
from humanrt.batch.process import BatchOptions, process

__all__ = ["BatchOptions", "Job", "Report", "find_sources", "plan", "process"]
