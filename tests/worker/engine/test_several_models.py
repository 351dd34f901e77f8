"""Several base models are kept loaded where memory allows, and take turns at the processor."""

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.worker.engine.generation_requests import ask
from worker.engine import model_memory
from worker.engine.model_loader import BadModel
from worker.engine.model_manager import ModelManager
from worker.engine.request_queue import QueueFull


@pytest.fixture
def models(base, tmp_path):
    """Folders of three base models."""
    return [Path(shutil.copytree(base, tmp_path / name)) for name in ("first", "second", "third")]


@pytest.fixture
def no_room(monkeypatch):
    monkeypatch.setattr("worker.engine.model_manager.fits_beside", lambda *_folders: False)


@pytest.fixture
def manager(tmp_path):
    found = ModelManager(tmp_path)
    yield found
    asyncio.run(found.unload())


def names(manager) -> set[str]:
    """Of what is loaded."""
    state = manager.health()
    return {folder.rsplit("/", 1)[-1] for folder in [state["base_model"], *state["also_loaded"]]}


async def use(manager, folder, number_format="fp32", **options) -> str:
    """One short answer."""
    async with manager.acquire(folder, number_format, 1, **options) as backend:
        done = await asyncio.to_thread(backend.generate, [ask(max_new_tokens=3)])
        return done[0].text


# ---- With room ----


def test_two_teams_with_two_models_wait_for_no_one(manager, models):
    async def story() -> None:
        async with manager.acquire(models[0], "fp32", 1) as first:
            long = first.submit(ask(max_new_tokens=2000))
            next(iter(long))
            for _time in range(2):
                await use(manager, models[1])
            assert next(iter(long)), "the long answer goes on"
            long.cancel()

    asyncio.run(story())
    assert names(manager) == {"first", "second"}


def test_each_answers_as_it_does_alone(manager, models):
    async def together() -> list[str]:
        return await asyncio.gather(*(use(manager, one) for one in models for _time in range(2)))

    async def alone(folder) -> str:
        other = ModelManager(folder.parent)
        try:
            return await use(other, folder)
        finally:
            await other.unload()

    expected = [asyncio.run(alone(one)) for one in models for _time in range(2)]
    assert asyncio.run(together()) == expected


def test_one_that_many_ask_for_is_loaded_once(manager, models, monkeypatch):
    opened, open_model = [], manager.selector.open
    monkeypatch.setattr(
        manager.selector, "open", lambda *given: opened.append(given) or open_model(*given)
    )

    async def story() -> None:
        await asyncio.gather(*(use(manager, models[0], form) for form in ("auto", "auto", "fp32")))

    monkeypatch.setattr("worker.engine.model_loader.choose_format", lambda *_given: "fp32")
    asyncio.run(story())
    assert len(opened) == 1


def test_while_one_is_loaded_the_others_answer(manager, models, monkeypatch):
    async def story() -> None:
        await use(manager, models[0])
        going_on = asyncio.Event()
        loop, open_model = asyncio.get_running_loop(), manager.selector.open

        def slowly(*given):
            asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(60)
            return open_model(*given)

        monkeypatch.setattr(manager.selector, "open", slowly)
        second = [asyncio.create_task(use(manager, models[1])) for _time in range(2)]
        await asyncio.sleep(0)
        await use(manager, models[0])
        assert not any(one.done() for one in second)
        assert manager.health()["loading"]
        going_on.set()
        await asyncio.gather(*second)

    asyncio.run(story())


def test_one_that_cannot_be_loaded_disturbs_no_other(manager, models):
    (models[1] / "config.json").rename(models[1] / "hidden.json")

    async def story() -> None:
        async with manager.acquire(models[0], "fp32", 1):
            for _time in range(2):
                with pytest.raises(BadModel):
                    await use(manager, models[1])
            (models[1] / "hidden.json").rename(models[1] / "config.json")
            await use(manager, models[1])

    asyncio.run(story())
    assert names(manager) == {"first", "second"}


def test_two_formats_of_a_model_are_two_models(manager, models):
    """As for a QLoRA adapter and its base model, side by side in a chat."""

    async def story() -> None:
        for _time in range(2):
            for number_format in ("fp32", "bf16"):
                await use(manager, models[0], number_format)

    asyncio.run(story())
    state = manager.health()
    assert (state["number_format"], len(state["also_loaded"])) == ("bf16", 1)


def test_nobody_waits_for_a_batch_but_it_may_have_a_model_of_its_own(manager, models):
    async def story() -> None:
        async with manager.acquire(models[0], "fp32", 1):
            await use(manager, models[1], background=True)

    asyncio.run(story())


# ---- Without ----


def test_without_room_the_other_is_waited_for(manager, models, no_room):
    async def story() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(manager.acquire(models[0], "fp32", 1))
            second = asyncio.create_task(use(manager, models[1]))
            await asyncio.sleep(0.1)
            assert (names(manager), second.done()) == ({"first"}, False)
            assert manager.health()["loading"]
        await second

    asyncio.run(story())
    assert names(manager) == {"second"}


def test_no_request_overtakes_one_that_waits_for_memory(manager, models, no_room):
    async def story() -> list[str]:
        order = []

        async def named(folder) -> None:
            await use(manager, folder)
            order.append(folder.name)

        async with AsyncExitStack() as stack:
            await stack.enter_async_context(manager.acquire(models[0], "fp32", 1))
            tasks = []
            for folder in (models[1], models[0]):
                tasks.append(asyncio.create_task(named(folder)))
                await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(story()) == ["second", "first"]


def test_what_was_not_used_for_longest_goes_first(manager, models, monkeypatch):
    monkeypatch.setattr(
        "worker.engine.model_manager.fits_beside", lambda *_folders: len(manager._models) < 2
    )

    async def story() -> None:
        await use(manager, models[0])
        await use(manager, models[1])
        await use(manager, models[0])
        await use(manager, models[2])

    asyncio.run(story())
    assert names(manager) == {"first", "third"}


def test_a_batch_takes_no_memory_from_people(manager, models, no_room):
    async def story() -> None:
        async with manager.acquire(models[0], "fp32", 1):
            with pytest.raises(QueueFull):
                await use(manager, models[1], background=True)

    asyncio.run(story())


def test_a_batch_that_has_waited_takes_none_either(manager, models, monkeypatch):
    """There was room when it came; somebody else took it meanwhile."""
    room = [True]
    monkeypatch.setattr("worker.engine.model_manager.fits_beside", lambda *_folders: room[0])

    async def story() -> None:
        async with manager.acquire(models[0], "fp32", 1):
            async with manager._changing:
                batch = asyncio.create_task(use(manager, models[1], background=True))
                await asyncio.sleep(0.05)
                room[0] = False
            with pytest.raises(QueueFull):
                await batch

    asyncio.run(story())
    assert names(manager) == {"first"}


def test_memory_of_one_that_nobody_waits_for_any_more_is_free(
    manager, models, no_room, monkeypatch
):
    """Whoever asked for it is gone before it was loaded."""

    async def story() -> None:
        going_on = asyncio.Event()
        loop, open_model = asyncio.get_running_loop(), manager.selector.open

        def slowly(*given):
            asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(60)
            return open_model(*given)

        monkeypatch.setattr(manager.selector, "open", slowly)
        gone = asyncio.create_task(use(manager, models[0]))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.wait([gone])
        other = asyncio.create_task(use(manager, models[1]))
        await asyncio.sleep(0.05)
        going_on.set()
        await asyncio.wait_for(other, 60)

    asyncio.run(story())
    assert names(manager) == {"second"}


# ---- Unloading ----


def test_what_is_used_stays(manager, models):
    async def story() -> None:
        await use(manager, models[1])
        async with manager.acquire(models[0], "fp32", 1):
            assert not await manager.unload()
            assert names(manager) == {"first"}
        assert await manager.unload()

    asyncio.run(story())
    assert manager.health()["base_model"] is None


def test_each_goes_when_it_is_idle(manager, models):
    manager.idle_unload_seconds = 0.3

    async def story() -> None:
        watching = asyncio.create_task(manager.unload_when_idle())
        await use(manager, models[1])
        async with manager.acquire(models[0], "fp32", 1):
            while len(manager._models) > 1:
                await asyncio.sleep(0.05)
            assert names(manager) == {"first"}
        while manager._models:
            await asyncio.sleep(0.05)
        watching.cancel()

    asyncio.run(asyncio.wait_for(story(), 60))


# ---- How much room there is ----


@pytest.mark.parametrize(
    ("free", "fits"),
    [(100, True), (52, True), (48, False), (0, False)],
)
def test_it_fits_where_enough_stays_free(tmp_path, monkeypatch, free, fits):
    """A file of 10 takes 20, and 30 of 100 are to stay free."""
    (tmp_path / "model.safetensors").write_bytes(b"0" * 10)
    machine = SimpleNamespace(free_bytes=free, memory_bytes=100)
    monkeypatch.setattr(model_memory, "this_machine", lambda: machine)
    assert model_memory.fits_beside(tmp_path, []) is fits


def test_while_torch_is_imported_main_memory_counts(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))  # without "cuda" yet
    machine = SimpleNamespace(free_bytes=60, memory_bytes=100)
    monkeypatch.setattr(model_memory, "this_machine", lambda: machine)
    assert model_memory.fits_beside(tmp_path, [])


def test_what_is_being_loaded_counts(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"0" * 10)
    machine = SimpleNamespace(free_bytes=60, memory_bytes=100)
    monkeypatch.setattr(model_memory, "this_machine", lambda: machine)
    assert model_memory.fits_beside(tmp_path, [])
    assert not model_memory.fits_beside(tmp_path, [tmp_path])
