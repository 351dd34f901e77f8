"""Periodic tasks run when due, even if another one fails."""

from finetune_app.jobs import periodic_tasks


def test_due_tasks_run_even_if_another_fails(monkeypatch, caplog):
    done = []

    def broken():
        done.append("broken")
        raise ValueError

    def fine():
        done.append("fine")

    now = [100.0]
    monkeypatch.setattr(periodic_tasks.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(periodic_tasks, "TASKS", [])
    periodic_tasks.register(
        periodic_tasks.PeriodicTask(broken, every_seconds=5),
        periodic_tasks.PeriodicTask(fine, every_seconds=60),
    )
    schedule = periodic_tasks.TaskSchedule()
    schedule.run_due()
    schedule.run_due()
    assert done == ["broken", "fine"]
    assert "broken failed" in caplog.text
    now[0] += 6
    schedule.run_due()
    assert done == ["broken", "fine", "broken"]


def test_each_periodic_task_is_registered_once():
    names = [task.name for task in periodic_tasks.TASKS]
    assert len(names) == len(set(names)) > 0
