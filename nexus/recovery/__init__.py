"""Saga recovery as plan, execute, report. Both modules are pure; `background/tasks/saga_recovery.py` executes."""
