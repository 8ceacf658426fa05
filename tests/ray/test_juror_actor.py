"""The juror actor and its scorer, on a real Ray cluster of this machine."""

import pickle
import sys
import threading
import time

import numpy as np
import pytest

ray = pytest.importorskip("ray")

from juror_service.errors import DeadlineExceeded, ImageFailed  # noqa: E402
from juror_service.jurors.registry import load_juror  # noqa: E402
from ray_cluster.jurors.actor_scorer import ActorScorer, start_jurors  # noqa: E402
from ray_cluster.jurors.juror_actor import JurorActor  # noqa: E402
from ray_cluster.jurors.local_scorer import local_jurors  # noqa: E402
from rl_aesthetics.config.cluster import Juror  # noqa: E402
from rl_aesthetics.errors import ScoringError, UserError  # noqa: E402
from rl_aesthetics.scores.reference import ReferenceScorer  # noqa: E402

pytestmark = pytest.mark.ray
SIZE = 64


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test module
        yield
        ray.shutdown()


class MeanJuror:
    """Scores an image by the mean of its pixels; 255 in the first one makes it raise."""

    size, fingerprint = SIZE, "mean"

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def score(self, images):
        time.sleep(self.seconds)
        if any(image[0, 0, 0] == 255 for image in images):
            raise ValueError("cannot look at it")
        return mean_scores(images)


class ShortJuror(MeanJuror):
    """Answers one score too few."""

    def score(self, images):
        return mean_scores(images)[1:]


def mean_scores(images):
    return np.array([image.mean() for image in images], np.float32)


def some_images(count, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    images[:, 0, 0, 0] = 0
    return images


def slow_juror(seconds):
    def make():
        return MeanJuror(seconds)

    return make


@pytest.fixture(scope="module")
def scorer(cluster):
    return start_jurors(MeanJuror, num_cpus=0.1)


@pytest.mark.parametrize("count", [0, 1, 8, 33, 200, 1100])
def test_scores_are_those_of_the_juror_itself_in_order(scorer, count):
    images = some_images(count)
    scores = scorer.score(images)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, mean_scores(images))


def test_the_pocket_juror_scores_the_same_in_an_actor():
    images = some_images(9)
    direct = load_juror("pocket", threads=1)
    through_ray = start_jurors("pocket", {"threads": 1}, num_cpus=0.1)
    assert (through_ray.size, through_ray.fingerprint) == (direct.size, direct.fingerprint)
    np.testing.assert_allclose(through_ray.score(images), direct.score(images), atol=1e-5)


def test_a_list_of_views_will_do(scorer):
    images = some_images(3)
    bgr_views = [image[..., ::-1] for image in images]
    np.testing.assert_allclose(scorer.score(bgr_views), mean_scores(images), rtol=1e-6)


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, SIZE, SIZE, 3), np.float32)])
def test_images_the_juror_cannot_look_at_are_refused_before_they_travel(scorer, images):
    with pytest.raises(ValueError, match="juror needs uint8"):
        scorer.score(images)


def test_a_worker_process_can_carry_the_scorer(scorer):
    @ray.remote(num_cpus=0.1)
    def worker(scorer, images):
        return scorer.size, scorer.fingerprint, scorer.score(images)

    images = some_images(4)
    size, fingerprint, scores = ray.get(worker.remote(scorer, images))
    assert (size, fingerprint) == (SIZE, "mean")
    np.testing.assert_array_equal(scores, mean_scores(images))


def in_threads(count, work):
    problems = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems, problems


def test_requests_of_several_workers_leave_as_one_batch_and_answers_do_not_mix():
    scorer = start_jurors(slow_juror(0.02), num_cpus=0.1)

    def worker(number):
        for step in range(6):
            images = some_images(1 + number, seed=100 * number + step)
            np.testing.assert_array_equal(scorer.score(images), mean_scores(images))

    in_threads(4, worker)
    (stats,) = scorer.stats()
    assert stats["requests"] == 24
    assert stats["images"] == 6 * (1 + 2 + 3 + 4)
    assert stats["batches"] <= 16
    assert stats["requests_per_batch"] > 1.5
    assert stats["inference_ms_p50"] >= 20


def test_health_answers_while_a_batch_is_computed():
    scorer = start_jurors(slow_juror(2.0), num_cpus=0.1)
    (actor,) = scorer.actors
    scoring = threading.Thread(target=scorer.score, args=(some_images(2),))
    scoring.start()
    begun, health = time.monotonic(), {"busy": False}
    while not health["busy"]:
        health = ray.get(actor.health.remote(), timeout=5)
    assert time.monotonic() - begun < 1.5
    assert health["juror_loaded"]
    scoring.join()


def test_one_bad_image_fails_its_request_alone():
    scorer = start_jurors(slow_juror(0.05), num_cpus=0.1)
    bad = some_images(3)
    bad[1, 0, 0, 0] = 255

    def worker(number):
        if number == 0:
            with pytest.raises(ImageFailed, match="image 1: ValueError: cannot look at it") as caught:
                scorer.score(bad)
            assert list(caught.value.errors) == [1]
            np.testing.assert_array_equal(caught.value.scores_B[[0, 2]], mean_scores(bad[[0, 2]]))
        else:
            images = some_images(5, seed=number)
            np.testing.assert_array_equal(scorer.score(images), mean_scores(images))

    in_threads(4, worker)


def test_an_answer_of_the_wrong_length_is_an_error():
    scorer = start_jurors(ShortJuror, num_cpus=0.1)
    with pytest.raises(ScoringError, match="for 3 images"):
        scorer.score(some_images(3))


def test_a_juror_killed_three_times_never_gives_a_wrong_score():
    scorer = start_jurors(slow_juror(0.01), replicas=1, num_cpus=0.1)
    (actor,) = scorer.actors
    killed, done = 0, threading.Event()

    def kill():
        nonlocal killed
        for _ in range(3):
            pid = ray.get(actor.health.remote(), timeout=30)["pid"]
            time.sleep(0.1)
            ray.kill(actor, no_restart=False)
            killed += 1
            while ray.get(actor.health.remote(), timeout=30)["pid"] == pid:
                time.sleep(0.05)
        done.set()

    killer = threading.Thread(target=kill)
    killer.start()
    rounds = 0
    while not done.is_set() or rounds < 10:
        images = some_images(6, seed=rounds)
        np.testing.assert_array_equal(scorer.score(images), mean_scores(images))
        rounds += 1
    killer.join()
    assert killed == 3


def test_a_dead_replica_is_left_out_and_the_other_answers():
    scorer = start_jurors(MeanJuror, replicas=2, num_cpus=0.1)
    ray.kill(scorer.actors[0])
    for seed in range(20):
        images = some_images(2, seed)
        np.testing.assert_array_equal(scorer.score(images), mean_scores(images))


def test_when_no_replica_is_left_the_failure_is_typed_and_bounded():
    scorer = start_jurors(MeanJuror, num_cpus=0.1, timeout_s=1.5)
    ray.kill(scorer.actors[0])
    begun = time.monotonic()
    with pytest.raises(ScoringError, match="no juror answered"):
        scorer.score(some_images(2))
    assert time.monotonic() - begun < 4


def test_a_hung_juror_runs_into_the_deadline_and_its_late_score_is_lost():
    scorer = start_jurors(slow_juror(1.0), num_cpus=0.1)
    impatient = ActorScorer(scorer.actors, scorer.size, scorer.fingerprint, timeout_s=0.3)
    with pytest.raises(DeadlineExceeded):
        impatient.score(some_images(2, seed=1))
    images = some_images(3, seed=2)
    np.testing.assert_array_equal(scorer.score(images), mean_scores(images))


def test_a_full_queue_is_tried_again_a_bounded_number_of_times():
    scorer = start_jurors(slow_juror(0.2), num_cpus=0.1, batching={"max_queue_images": 4, "max_batch_images": 4})

    def worker(number):
        images = some_images(4, seed=number)
        np.testing.assert_array_equal(scorer.score(images), mean_scores(images))

    in_threads(4, worker)
    assert scorer.retries > 0
    assert scorer.stats()[0]["refused"] == scorer.retries


def test_calls_go_to_the_less_loaded_replica():
    actors = [JurorActor.options(num_cpus=0.1).remote(slow_juror(s)) for s in (0.3, 0.01)]
    scorer = ActorScorer(actors, SIZE, "mean")

    def worker(number):
        for seed in range(5):
            scorer.score(some_images(2, seed))

    in_threads(4, worker)
    slow, fast = (stats["requests"] for stats in scorer.stats())
    assert slow + fast == 20
    assert fast > slow


def test_a_pool_grows_to_so_many_replicas_and_lets_them_go_at_its_end():
    pool = start_jurors(MeanJuror, num_cpus=0.1)
    assert not pool.grow(1)
    assert pool.grow(2)
    assert len(pool.readings(timeout_s=30)) == pool.metrics(timeout_s=30)["juror_replicas"] == 2
    images = some_images(4)
    np.testing.assert_array_equal(pool.score(images), mean_scores(images))
    travelled = pickle.loads(pickle.dumps(pool))
    assert not travelled.grow(3)  # it belongs to whoever started it
    pool.close()
    until = time.monotonic() + 30
    while pool.metrics(timeout_s=30)["juror_replicas"] and time.monotonic() < until:
        time.sleep(0.05)
    assert pool.metrics(timeout_s=30) == {"juror_replicas": 0}


def test_what_is_tracked_is_of_the_replicas_that_answer():
    scorer = start_jurors(slow_juror(0.01), replicas=2, num_cpus=0.1)
    for seed in range(20):
        scorer.score(some_images(2, seed))
    both = scorer.metrics(timeout_s=30)
    assert both["juror_replicas"] == 2
    assert both["juror_images_per_batch"] == 2
    assert both["juror_inference_ms_p50"] >= 10
    assert 0 < both["juror_busy_share"] < 1
    for number, left in ((0, 1), (1, 0)):
        ray.kill(scorer.actors[number])  # which does not wait: one more answer may come
        until = time.monotonic() + 10
        while (answering := scorer.metrics(timeout_s=30))["juror_replicas"] > left and time.monotonic() < until:
            time.sleep(0.05)
        assert answering["juror_replicas"] == left
    assert answering == {"juror_replicas": 0}


def test_it_says_in_logs_and_on_the_dashboard_which_one_it_is():
    kind = JurorActor.__ray_actor_class__
    assert repr(kind(MeanJuror, label="juror mean #0")) == "juror mean #0"
    assert repr(kind.__new__(kind)) == "juror"  # Ray asks for it also when the constructor has failed


def test_a_mix_with_the_reference_compares_here_and_asks_the_other_jurors():
    parts = [{"name": "reference", "weight": 3}, {"name": "pocket"}]
    mixed = local_jurors(Juror(name="mix", options={"jurors": parts}, num_cpus=0.1))
    images, originals = some_images(5), some_images(5, seed=1)
    expected = load_juror("mix", jurors=parts).score(images, originals)
    np.testing.assert_allclose(mixed.score(images, originals), expected, atol=1e-6)
    assert len(mixed.jurors.actors) == 1


def test_a_reference_with_a_juror_and_a_weight_is_such_a_mix():
    mixed = local_jurors(Juror(name="reference", options={"juror": "pocket", "weight": 0.25}, num_cpus=0.1))
    pocket, images, originals = load_juror("pocket"), some_images(5), some_images(5, seed=1)
    alike = ReferenceScorer(SIZE).score(images, originals)
    np.testing.assert_allclose(mixed.score(images, originals), 0.25 * alike + 0.75 * pocket.score(images), atol=1e-6)
    assert mixed.fingerprint == f"mixed:0.25:{ReferenceScorer.fingerprint}+{pocket.fingerprint}"


def test_it_names_itself_on_the_dashboard_and_in_logs(scorer):
    from ray.util import list_named_actors

    names = list_named_actors()
    assert any(name.startswith("juror-MeanJuror-0-") for name in names), names


def test_a_pickled_scorer_is_the_same_scorer(scorer):
    copy = pickle.loads(ray.cloudpickle.dumps(scorer))
    assert (copy.size, copy.fingerprint, copy.timeout_s) == (scorer.size, scorer.fingerprint, scorer.timeout_s)


def test_a_juror_that_breaks_while_loading_is_reported():
    def breaks():
        raise OSError("no such weights")

    with pytest.raises(ScoringError, match="could not be started") as caught:
        start_jurors(breaks, num_cpus=0.1)
    assert "no such weights" in str(caught.value)


def test_an_unknown_juror_is_the_users_mistake():
    with pytest.raises(UserError, match="unknown juror 'pokcet'"):
        start_jurors("pokcet", num_cpus=0.1)


def test_a_cluster_without_room_is_the_users_mistake():
    with pytest.raises(UserError, match=r"did not start within .* asks for 1 × \(64 CPU"):
        start_jurors(MeanJuror, num_cpus=64, start_timeout_s=0.5)
