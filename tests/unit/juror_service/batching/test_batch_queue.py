"""The rules of batching, with times handed in: which images run together and when."""

import itertools

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numbered_images import SCORER, images_of, value_of

from juror_service.batching.batch_queue import Batch, BatchQueue, Request
from juror_service.errors import QueueFull


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


def batches_of_two_callers(queue, away_s, start, count):
    """Requests in each of the batches, when a batch takes a second and callers come back `away_s` after an answer."""
    sizes, now, numbers = [], start, itertools.count(int(start * 1000))
    arrivals = [start, start + 0.5]
    while len(sizes) < count:
        todo = queue.next_batch(now)
        runs = isinstance(todo, Batch)
        now = now + 1.0 if runs else min([*arrivals, *([todo] if todo is not None else [])])
        for arrival in sorted(arrival for arrival in arrivals if arrival <= now):
            queue.offer(request(next(numbers), 1, now=arrival))
        arrivals = [arrival for arrival in arrivals if arrival > now]
        if runs:
            sizes.append(len(todo.parts))
            arrivals += [now + away_s] * len(answer(queue, now))
    return sizes


def test_callers_who_are_soon_back_meet_in_one_batch():
    assert batches_of_two_callers(BatchQueue(8, 9.0, 64), 0.6, 0.0, 40)[1:] == [2] * 39


def test_callers_who_are_away_for_longer_than_a_batch_takes_are_not_waited_for():
    queue = BatchQueue(8, 9.0, 64)
    batches_of_two_callers(queue, 1.3, 0.0, 40)
    queue.offer(request(-1, 1, now=10_000.0))
    queue.next_batch(10_000.0)
    queue.offer(request(-2, 1, now=10_000.5))
    answer(queue, 10_001.0)
    assert isinstance(queue.next_batch(10_001.0), Batch)  # though one who was just answered is about


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
