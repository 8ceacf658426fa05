"""The batcher: which images run together and when, and that every answer reaches its own request.

The rules are tested on `BatchQueue` with times handed in, the asyncio side on an event loop with virtual time.
"""

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
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from juror_service.batch_queue import Batch, BatchQueue, Request
from juror_service.batching import Batcher, score_isolating
from juror_service.errors import Closed, DeadlineExceeded, ImageFailed, QueueFull
from rl_aesthetics.errors import ScoringError
from rl_aesthetics.scoring import FunctionScorer

SIZE = 2


def images_of(*values):
    """One 2×2 image a value; the value (below 2²⁴) is written into its first pixel."""
    images = np.zeros((len(values), SIZE, SIZE, 3), np.uint8)
    for image, value in zip(images, values, strict=True):
        image[0, 0] = value >> 16 & 255, value >> 8 & 255, value & 255
    return images


def value_of(image):
    red, green, blue = (int(v) for v in image[0, 0])
    return red << 16 | green << 8 | blue


SCORER = FunctionScorer(value_of, size=SIZE)


# --- the rules ---------------------------------------------------------------------------------------------------


def request(number, *values, now=0.0):
    return Request(number, images_of(*values), now)


def answer(queue, now, duration=0.0):
    """Compute the running batch and hand its answers out."""
    images = queue.running.images_BHWC()
    return queue.finish(SCORER.score(images), {}, now + duration)


def test_an_idle_juror_starts_at_once_and_a_busy_one_collects():
    queue = BatchQueue(8, max_wait_s=1.0, max_queue_images=64)
    queue.offer(request(0, 10))
    assert isinstance(queue.next_batch(0.0), Batch)
    queue.offer(request(1, 11))
    queue.offer(request(2, 12, 13))
    assert queue.next_batch(0.1) is None
    answer(queue, 0.2)
    batch = queue.next_batch(2.0)
    assert [part.request_id for part in batch.parts] == [1, 2]
    assert batch.num_images == 3


def test_a_batch_is_held_for_returning_callers_until_all_are_back():
    queue = BatchQueue(8, max_wait_s=1.0, max_queue_images=64)
    queue.offer(request(0, 1))
    queue.next_batch(0.0)
    queue.offer(request(1, 2))
    answer(queue, 0.0, duration=0.5)  # caller 0 was answered and caller 1 waits: two are about
    assert queue.next_batch(0.5) == 1.0  # a batch took 0.5 s, so it holds no longer than that
    queue.offer(request(2, 3))
    assert queue.next_batch(0.6).num_images == 2


@pytest.mark.parametrize(("max_wait_s", "until"), [(0.0, None), (0.1, 0.6), (9.0, 1.0)])
def test_a_hold_is_bounded_by_the_maximum_wait_and_by_what_a_batch_takes(max_wait_s, until):
    queue = BatchQueue(8, max_wait_s, max_queue_images=64)
    queue.offer(request(0, 1))
    queue.next_batch(0.0)
    queue.offer(request(1, 2))
    answer(queue, 0.0, duration=0.5)
    if until is None:
        assert isinstance(queue.next_batch(0.5), Batch)
    else:
        assert queue.next_batch(0.5) == pytest.approx(until)
        assert isinstance(queue.next_batch(until), Batch)


def test_a_caller_who_comes_alone_is_never_held():
    queue = BatchQueue(8, max_wait_s=1.0, max_queue_images=64)
    for step in range(5):
        queue.offer(request(step, step))
        assert isinstance(queue.next_batch(step), Batch)
        answer(queue, step, duration=1.0)


def test_a_full_batch_is_not_held():
    queue = BatchQueue(2, max_wait_s=9.0, max_queue_images=64)
    for number in range(6):
        queue.offer(request(number, number))
    queue.next_batch(0.0)
    answer(queue, 0.0, duration=5.0)
    assert queue.next_batch(5.0).num_images == 2


def test_a_request_larger_than_a_batch_is_spread_and_answered_once_in_order():
    queue = BatchQueue(4, max_wait_s=0.0, max_queue_images=64)
    queue.offer(request(0, *range(100, 110)))
    complete = []
    for now in range(3):
        assert queue.next_batch(now).num_images <= 4
        complete += answer(queue, now)
    (whole,) = complete
    assert whole.scores_B.tolist() == list(range(100, 110))


def test_the_queue_refuses_early_and_only_counts_what_waits():
    queue = BatchQueue(4, max_wait_s=0.0, max_queue_images=5)
    queue.offer(request(0, 1, 2, 3))
    queue.next_batch(0.0)  # these no longer wait
    queue.offer(request(1, 4, 5, 6, 7))
    with pytest.raises(QueueFull):
        queue.offer(request(2, 8, 9))
    queue.offer(request(3, 10))
    assert queue.waiting_images == 5


def test_a_dropped_request_is_never_computed_and_frees_its_room():
    queue = BatchQueue(8, max_wait_s=0.0, max_queue_images=4)
    queue.offer(request(0, 1, 2, 3, 4))
    queue.drop(0)
    queue.offer(request(1, 5, 6, 7, 8))
    assert [part.request_id for part in queue.next_batch(0.0).parts] == [1]


def test_the_late_answer_of_a_dropped_request_shifts_nobody_elses_scores():
    """The predecessor left the late score in its queue after a timeout: every later score was off by one."""
    queue = BatchQueue(8, max_wait_s=0.0, max_queue_images=64)
    queue.offer(request(0, 111))
    queue.next_batch(0.0)
    queue.drop(0)
    queue.offer(request(1, 222))
    assert answer(queue, 1.0) == []
    queue.next_batch(1.0)
    (only,) = answer(queue, 2.0)
    assert (only.id, only.scores_B.tolist()) == (1, [222.0])


class QueueMachine(RuleBasedStateMachine):
    """Any order of arrivals, cancellations, passing time and finished batches."""

    def __init__(self):
        super().__init__()
        self.now, self.next_id, self.next_value = 0.0, 0, 1
        self.queue = BatchQueue(5, max_wait_s=0.3, max_queue_images=12)
        self.sent, self.dropped, self.answered = {}, set(), set()

    @rule(count=st.integers(1, 7))
    def arrive(self, count):
        values = list(range(self.next_value, self.next_value + count))
        self.next_value += count
        new = Request(self.next_id, images_of(*values), self.now)
        self.next_id += 1
        waiting = self.queue.waiting_images
        try:
            self.queue.offer(new)
        except QueueFull:
            assert waiting + count > 12
            return
        assert waiting + count <= 12
        self.sent[new.id] = values

    @precondition(lambda self: self.sent.keys() - self.answered - self.dropped)
    @rule(data=st.data())
    def cancel(self, data):
        number = data.draw(st.sampled_from(sorted(self.sent.keys() - self.answered - self.dropped)))
        self.queue.drop(number)
        self.dropped.add(number)

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def ask(self):
        todo = self.queue.next_batch(self.now)
        if isinstance(todo, Batch):
            assert 1 <= todo.num_images <= 5
            assert not {part.request_id for part in todo.parts} & self.dropped
        elif todo is not None:
            assert self.now < todo <= self.now + 0.3 + 1e-9
            assert isinstance(self.queue.next_batch(todo), Batch), "a hold ends when it said it would"

    @precondition(lambda self: self.queue.running is not None)
    @rule(bad=st.booleans())
    def finish(self, bad):
        images = self.queue.running.images_BHWC()
        scores, errors = SCORER.score(images), {}
        if bad:
            scores[0], errors[0] = np.nan, f"bad {value_of(images[0])}"
        for done in self.queue.finish(scores, errors, self.now):
            assert done.id not in self.answered | self.dropped, "answered once, and never after it was dropped"
            self.answered.add(done.id)
            for position, value in enumerate(self.sent[done.id]):
                if position in done.errors:
                    assert done.errors[position] == f"bad {value}"
                    assert np.isnan(done.scores_B[position])
                else:
                    assert done.scores_B[position] == value, "a score of somebody else's image"

    @invariant()
    def nothing_is_lost(self):
        open_requests = self.sent.keys() - self.answered - self.dropped
        assert len(self.queue) == len(open_requests)
        assert 0 <= self.queue.waiting_images <= 12
        if open_requests and self.queue.running is None:
            assert self.queue.waiting_images > 0

    def teardown(self):
        for _ in range(100):
            if self.queue.running is None and not isinstance(self.queue.next_batch(self.now + 100), Batch):
                break
            self.finish(bad=False)
        assert len(self.queue) == 0, "everything accepted is answered in the end"


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


# --- on an event loop with virtual time --------------------------------------------------------------------------


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
