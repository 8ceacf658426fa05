"""The batcher on an event loop with virtual time: every answer reaches its own request."""

import asyncio
import concurrent.futures
import pickle
import selectors
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_images import SCORER, SIZE, images_of, value_of

from juror_service.batching.batcher import Batcher, score_isolating
from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.scores.scorer import FunctionScorer


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self):
        self.now = 0.0
        loop = self

        class Selector(selectors.SelectSelector):
            def select(self, timeout=None):
                events = super().select(0)
                if not events:
                    assert timeout is not None, "deadlock: nothing will ever happen again"
                    loop.now += timeout
                return events

        super().__init__(Selector())

    def time(self):
        return self.now


class VirtualExecutor(concurrent.futures.Executor):
    """Computes after `seconds(number of images)` of the loop's own time; counts what it computed."""

    def __init__(self, seconds=lambda images: 1.0):
        self.seconds, self.batches = seconds, []

    def submit(self, work, /):
        batch = work.args[0]
        self.batches.append(batch.num_images)
        done = concurrent.futures.Future()
        loop = asyncio.get_running_loop()
        loop.call_later(self.seconds(batch.num_images), lambda: done.set_result(work()))
        return done


def run_virtually(main):
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def batcher_of(executor, **options):
    return Batcher(SCORER, **{"max_batch_images": 16, "max_wait_s": 0.0, **options}, executor=executor)


CALLERS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.5, 2.2]),  # arrives
        st.integers(1, 6),  # images
        st.sampled_from([None, None, 0.05, 0.7, 1.0, 3.0]),  # its deadline
        st.sampled_from([None, None, None, 0.0, 0.3, 1.0, 1.6]),  # is cancelled after
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(CALLERS, st.integers(1, 8), st.sampled_from([0.0, 0.4]), st.integers(6, 40))
def test_every_caller_gets_its_own_scores_or_a_typed_error(callers, max_batch_images, max_wait_s, max_queue_images):
    async def main():
        batcher = batcher_of(
            VirtualExecutor(lambda images: 0.5 + 0.1 * images),
            max_batch_images=max_batch_images,
            max_wait_s=max_wait_s,
            max_queue_images=max_queue_images,
        )
        outcomes = dict.fromkeys(("answered", "refused", "expired", "cancelled"), 0)

        async def call(number, arrives, count, timeout_s, cancelled_after):
            await asyncio.sleep(arrives)
            values = [number * 100 + i for i in range(count)]
            begun = asyncio.get_running_loop().time()
            task = asyncio.ensure_future(batcher.score(images_of(*values), timeout_s))
            if cancelled_after is not None:
                asyncio.get_running_loop().call_later(cancelled_after, task.cancel)
            try:
                assert (await task).tolist() == values
                outcomes["answered"] += 1
            except QueueFull:
                outcomes["refused"] += 1
            except DeadlineExceeded:
                assert asyncio.get_running_loop().time() == pytest.approx(begun + timeout_s)
                outcomes["expired"] += 1
            except asyncio.CancelledError:
                outcomes["cancelled"] += 1

        await asyncio.gather(*(call(number, *caller) for number, caller in enumerate(callers)))
        await batcher.close()
        stats = batcher.stats
        # A caller may be cancelled in the very instant in which it is answered or runs out of time.
        assert stats.answered + stats.expired - outcomes["answered"] - outcomes["expired"] <= outcomes["cancelled"]
        assert outcomes["answered"] <= stats.answered
        assert outcomes["expired"] <= stats.expired
        assert outcomes["refused"] == stats.refused
        assert stats.accepted == stats.answered + stats.failed + stats.expired + stats.cancelled
        assert batcher.queued_images == batcher.open_requests == 0

    run_virtually(main())


def test_a_cancelled_request_costs_nothing():
    async def main():
        executor = VirtualExecutor()
        batcher = batcher_of(executor)
        first = asyncio.ensure_future(batcher.score(images_of(1)))
        await asyncio.sleep(0.1)
        waiting = asyncio.ensure_future(batcher.score(images_of(2, 3, 4)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await first
        await batcher.close()
        assert executor.batches == [1]

    run_virtually(main())


def test_callers_in_a_loop_share_full_batches():
    async def main():
        executor = VirtualExecutor(lambda images: 1.0)
        batcher = batcher_of(executor, max_wait_s=0.5)

        async def caller(number):
            for step in range(20):
                assert (await batcher.score(images_of(number * 100 + step))).tolist() == [number * 100 + step]
                await asyncio.sleep(0.01 * number)

        await asyncio.gather(*(caller(number) for number in range(4)))
        assert np.mean(executor.batches) > 3.5

    run_virtually(main())


def test_a_refusal_says_when_there_should_be_room():
    async def main():
        batcher = batcher_of(VirtualExecutor(lambda images: 2.0 * images), max_batch_images=2, max_queue_images=4)
        await batcher.score(images_of(1, 2))  # sets the pace: 2 s an image
        tasks = [asyncio.ensure_future(batcher.score(images_of(3, 4))) for _ in range(3)]
        await asyncio.sleep(0.1)
        with pytest.raises(QueueFull) as caught:
            await batcher.score(images_of(5))
        assert caught.value.retry_after_s == pytest.approx(8.0)
        await asyncio.gather(*tasks)

    run_virtually(main())


def test_closing_finishes_what_was_accepted_and_takes_nothing_new():
    async def main():
        batcher = batcher_of(VirtualExecutor(), max_batch_images=1)
        accepted = [asyncio.ensure_future(batcher.score(images_of(value))) for value in (7, 8, 9)]
        await asyncio.sleep(0.1)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0.1)
        with pytest.raises(Closed):
            await batcher.score(images_of(1))
        await closing
        assert [task.result().tolist() for task in accepted] == [[7], [8], [9]]

    run_virtually(main())


# --- with the real thread ----------------------------------------------------------------------------------------


def raises_on(*bad):
    def score(image):
        if value_of(image) in bad:
            raise ValueError(f"cannot look at {value_of(image)}")
        return float(value_of(image))

    return FunctionScorer(score, size=SIZE)


def test_one_bad_image_fails_alone_and_not_its_batch():
    async def main():
        batcher = Batcher(raises_on(13), max_wait_s=0.0)
        first = asyncio.ensure_future(batcher.score(images_of(1)))
        good, bad = (asyncio.ensure_future(batcher.score(images_of(*v))) for v in ((10, 11), (12, 13, 14)))
        assert (await first).tolist() == [1]
        assert (await good).tolist() == [10, 11]
        with pytest.raises(ImageFailed, match="image 1: ValueError: cannot look at 13") as caught:
            await bad
        assert list(caught.value.errors) == [1]
        np.testing.assert_array_equal(caught.value.scores_B, [12, np.nan, 14])
        await batcher.close()

    asyncio.run(main())


@given(st.sets(st.integers(0, 31)), st.integers(1, 32))
@settings(deadline=None)
def test_exactly_the_bad_images_fail(bad, count):
    scores, errors = score_isolating(raises_on(*bad), images_of(*range(count)))
    assert set(errors) == {value for value in bad if value < count}
    assert set(np.flatnonzero(np.isnan(scores))) == set(errors)
    assert all(scores[value] == value for value in range(count) if value not in errors)


class Juror:
    """A scorer whose answer to a whole batch is given."""

    size, fingerprint = SIZE, "given"

    def __init__(self, answer):
        self.answer, self.calls = answer, 0

    def score(self, images):
        self.calls += 1
        return self.answer(images)


def test_an_answer_of_the_wrong_length_is_an_error_for_all_not_a_shifted_score():
    scores, errors = score_isolating(Juror(lambda images: np.ones(len(images) - 1)), images_of(1, 2, 3))
    assert np.isnan(scores).all()
    assert "answered (2,) for 3 images" in errors[0]
    assert len(errors) == 3


def test_a_score_that_is_not_a_number_fails_that_image():
    scores, errors = score_isolating(Juror(lambda images: np.array([1.0, np.nan, 3.0])), images_of(1, 2, 3))
    assert list(errors) == [1]
    assert scores[[0, 2]].tolist() == [1.0, 3.0]


def test_a_juror_that_cannot_answer_is_asked_once_and_not_image_by_image():
    def unavailable(images):
        raise ScoringError("the far end is gone")

    juror = Juror(unavailable)
    scores, errors = score_isolating(juror, images_of(*range(8)))
    assert juror.calls == 1
    assert len(errors) == 8
    assert np.isnan(scores).all()


def test_the_forward_pass_leaves_the_event_loop_free():
    release = threading.Event()

    def blocks(images):
        assert release.wait(10)
        return np.ones(len(images))

    async def main():
        batcher = Batcher(Juror(blocks))
        scoring = asyncio.ensure_future(batcher.score(images_of(1)))
        begun = time.perf_counter()
        for _ in range(10):
            await asyncio.sleep(0.001)
        assert batcher.busy
        assert time.perf_counter() - begun < 5
        release.set()
        assert (await scoring).tolist() == [1.0]
        await batcher.close()

    asyncio.run(main())


def test_a_request_that_runs_out_of_time_gets_an_error_and_the_next_its_own_score():
    """The predecessor's juror answered 0.0 on a timeout."""
    release = threading.Event()

    def slow_at_first(images):
        assert release.wait(10)
        return SCORER.score(images)

    async def main():
        batcher = Batcher(Juror(slow_at_first))
        with pytest.raises(DeadlineExceeded):
            await batcher.score(images_of(5), timeout_s=0.02)
        release.set()
        for value in (6, 7, 8):
            assert (await batcher.score(images_of(value), timeout_s=10)).tolist() == [value]
        await batcher.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, SIZE + 1, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        [np.zeros((SIZE, SIZE, 3), np.uint8), np.zeros((SIZE, SIZE), np.uint8)],
        np.zeros((99, SIZE, SIZE, 3), np.uint8),
    ],
)
def test_images_the_juror_cannot_look_at_are_refused_before_they_are_queued(images):
    async def main():
        batcher = Batcher(SCORER, max_queue_images=64)
        with pytest.raises(ValueError, match=r"juror needs|limit"):
            await batcher.score(images)
        assert batcher.stats.accepted == 0
        await batcher.close()

    asyncio.run(main())


def test_no_images_have_no_scores_and_cost_nothing():
    async def main():
        batcher = Batcher(SCORER)
        assert (await batcher.score([])).shape == (0,)
        assert batcher.stats.batches == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [QueueFull("full", 2.5), DeadlineExceeded("late"), Closed("bye"), ImageFailed({1: "bad"}, np.array([1.0, np.nan]))],
)
def test_errors_survive_pickling_so_that_they_can_cross_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy).keys() == vars(error).keys()
