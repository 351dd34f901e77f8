"""Small regular work of the rooms: done when it is due, whatever becomes of the one before."""

from finetune_app.jobs import periodic_tasks


def test_each_in_its_time_and_a_fault_stops_nobody(monkeypatch, caplog):
    done = []

    def broken():
        done.append("broken")
        raise ValueError

    now = [100.0]
    monkeypatch.setattr(periodic_tasks.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        periodic_tasks,
        "CHORES",
        {"tests.jobs.test_periodic_tasks:broken": 5.0, "tests.jobs.test_periodic_tasks:fine": 60.0},
    )
    monkeypatch.setitem(globals(), "broken", broken)
    monkeypatch.setitem(globals(), "fine", lambda: done.append("fine"))
    schedule = periodic_tasks.TaskSchedule()
    schedule.run_due()
    schedule.run_due()
    assert done == ["broken", "fine"]
    assert "chore tests.jobs.test_periodic_tasks:broken failed" in caplog.text
    now[0] += 6
    schedule.run_due()
    assert done == ["broken", "fine", "broken"]


def test_every_chore_is_there():
    from importlib import import_module

    for name in periodic_tasks.CHORES:
        module, _colon, function = name.partition(":")
        assert callable(getattr(import_module(module), function))
