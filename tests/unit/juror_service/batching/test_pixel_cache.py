"""The cache before the model, keyed by pixels: every image is computed once, and nobody inherits another's failure."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juror_service.batching.batcher import Batcher
from juror_service.batching.caching_batcher import CachingBatcher, pixel_key
from juror_service.errors import DeadlineExceeded, ImageFailed, QueueFull

SIZE = 2


def images_of(*values):
    return np.stack([np.full((SIZE, SIZE, 3), value, np.uint8) for value in values])


class CountingJuror:
    """Scores an image by its first value, counts what it computed, waits for `gate`, fails on 255."""

    size, fingerprint = SIZE, "counting"

    def __init__(self):
        self.computed, self.gate = [], threading.Event()
        self.gate.set()

    def score(self, images):
        assert self.gate.wait(10)
        values = [int(image[0, 0, 0]) for image in images]
        if 255 in values:
            raise ValueError("cannot look at 255")
        self.computed += values
        return np.array(values, np.float32)


async def caching(juror, capacity=1000, **options):
    return CachingBatcher(Batcher(juror, **options), capacity)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 12).map(lambda v: 255 if v == 12 else v), min_size=1, max_size=6), max_size=10),
    st.sampled_from([0, 3, 1000]),
)
def test_every_caller_gets_the_scores_of_its_own_images(requests, capacity):
    async def main():
        cache = await caching(CountingJuror(), capacity)

        async def call(values):
            if 255 in values:
                with pytest.raises(ImageFailed) as caught:
                    await cache.score(images_of(*values))
                scores = caught.value.scores_B
                assert set(caught.value.errors) == {i for i, value in enumerate(values) if value == 255}
            else:
                scores = await cache.score(images_of(*values))
            np.testing.assert_array_equal(scores, [np.nan if value == 255 else value for value in values])

        await asyncio.gather(*(call(values) for values in requests))
        assert len(cache) <= capacity
        stats = cache.stats
        assert stats.hits + stats.shared + stats.misses == sum(len(values) for values in requests)
        await cache.close()

    asyncio.run(main())


def test_an_image_is_computed_once_in_its_life():
    async def main():
        juror = CountingJuror()
        cache = await caching(juror)
        for _ in range(3):
            assert (await cache.score(images_of(1, 2, 1))).tolist() == [1, 2, 1]
        assert sorted(juror.computed) == [1, 2]
        assert (cache.stats.misses, cache.stats.shared, cache.stats.hits) == (2, 3, 4)
        await cache.close()

    asyncio.run(main())


def test_duplicates_that_are_under_way_are_computed_once():
    async def main():
        juror = CountingJuror()
        juror.gate.clear()
        cache = await caching(juror)
        calls = [asyncio.ensure_future(cache.score(images_of(7, 8))) for _ in range(10)]
        await asyncio.sleep(0.02)
        juror.gate.set()
        assert all(scores.tolist() == [7, 8] for scores in await asyncio.gather(*calls))
        assert sorted(juror.computed) == [7, 8]
        await cache.close()

    asyncio.run(main())


def test_a_cancelled_leader_leaves_the_others_to_compute_it_themselves():
    async def main():
        juror = CountingJuror()
        juror.gate.clear()
        cache = await caching(juror, max_batch_images=1)
        blocker = asyncio.ensure_future(cache.score(images_of(1)))
        leader = asyncio.ensure_future(cache.score(images_of(9)))
        await asyncio.sleep(0.01)
        followers = [asyncio.ensure_future(cache.score(images_of(9))) for _ in range(3)]
        await asyncio.sleep(0.01)
        leader.cancel()
        await asyncio.sleep(0.01)
        juror.gate.set()
        assert all(scores.tolist() == [9] for scores in await asyncio.gather(*followers))
        assert (await blocker).tolist() == [1]
        assert sorted(juror.computed) == [1, 9]
        await cache.close()

    asyncio.run(main())


def test_a_cancelled_follower_harms_nobody():
    async def main():
        juror = CountingJuror()
        juror.gate.clear()
        cache = await caching(juror)
        leader, follower = (asyncio.ensure_future(cache.score(images_of(9))) for _ in range(2))
        await asyncio.sleep(0.01)
        follower.cancel()
        await asyncio.sleep(0.01)
        juror.gate.set()
        assert (await leader).tolist() == [9]
        await cache.close()

    asyncio.run(main())


def test_a_follower_has_its_own_deadline():
    async def main():
        juror = CountingJuror()
        juror.gate.clear()
        cache = await caching(juror)
        leader = asyncio.ensure_future(cache.score(images_of(9)))
        await asyncio.sleep(0.01)
        with pytest.raises(DeadlineExceeded):
            await cache.score(images_of(9), timeout_s=0.02)
        juror.gate.set()
        assert (await leader).tolist() == [9]
        await cache.close()

    asyncio.run(main())


def test_an_impatient_leader_does_not_cost_a_patient_follower_its_score():
    async def main():
        juror = CountingJuror()
        juror.gate.clear()
        cache = await caching(juror, max_batch_images=1)
        blocker = asyncio.ensure_future(cache.score(images_of(1)))
        leader = asyncio.ensure_future(cache.score(images_of(9), timeout_s=0.02))
        await asyncio.sleep(0.005)
        follower = asyncio.ensure_future(cache.score(images_of(9), timeout_s=5))
        with pytest.raises(DeadlineExceeded):
            await leader
        juror.gate.set()
        assert (await follower).tolist() == [9]
        await blocker
        await cache.close()

    asyncio.run(main())


def test_what_is_known_is_answered_although_the_queue_is_full():
    async def main():
        juror = CountingJuror()
        cache = await caching(juror, max_batch_images=1, max_queue_images=1)
        await cache.score(images_of(5))
        juror.gate.clear()
        running, waiting = (asyncio.ensure_future(cache.score(images_of(value))) for value in (1, 2))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull):
            await cache.score(images_of(3))
        assert (await cache.score(images_of(5))).tolist() == [5]
        juror.gate.set()
        await asyncio.gather(running, waiting)
        await cache.close()

    asyncio.run(main())


def test_failures_are_not_remembered():
    async def main():
        cache = await caching(CountingJuror())
        for _ in range(2):
            with pytest.raises(ImageFailed, match="cannot look at 255"):
                await cache.score(images_of(255))
        assert cache.stats.misses == 2
        assert len(cache) == 0
        await cache.close()

    asyncio.run(main())


def test_the_least_recently_used_score_goes_first():
    async def main():
        juror = CountingJuror()
        cache = await caching(juror, capacity=2)
        for value in (1, 2, 1, 3, 1):
            await cache.score(images_of(value))
        assert juror.computed == [1, 2, 3]
        await cache.close()

    asyncio.run(main())


def test_an_image_of_the_same_bytes_but_another_shape_is_not_answered_from_the_cache():
    async def main():
        cache = await caching(CountingJuror())
        await cache.score(images_of(5))
        with pytest.raises(ValueError, match="juror needs"):
            await cache.score(images_of(5).reshape(1, SIZE * SIZE, 1, 3))
        await cache.close()

    asyncio.run(main())


def test_the_key_is_of_the_pixels_however_they_lie_in_memory():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    assert pixel_key(image) == pixel_key(np.asfortranarray(image)) == pixel_key(image[..., ::-1][..., ::-1])
    assert pixel_key(image) != pixel_key(image[::-1])
