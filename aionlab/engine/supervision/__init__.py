"""Who supervises whom, and what follows when a process is lost: books and decisions, exact in the times they are given. `supervising` acts."""
from .deciding import Do, Plan, Step, process_lost, run_ended, supervisor_lost
from .limits import Count
from .tree import Branch, GaveUp, Restarting, SupervisionTree

__all__ = ["Branch", "Count", "Do", "GaveUp", "Plan", "Restarting", "Step", "SupervisionTree", "process_lost", "run_ended", "supervisor_lost"]
