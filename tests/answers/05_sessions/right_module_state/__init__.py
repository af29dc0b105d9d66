"""No class and no dependency: functions of a module, JSON checked by hand, a task group for the sends."""
