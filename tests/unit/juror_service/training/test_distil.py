"""A student of a slow juror: what is shown, what the teacher is asked, what is fitted and how it is measured."""

import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from juror_service.jurors.pocket_network import load_pocket_network
from juror_service.jurors.registry import load_juror
from juror_service.training.distil import DistilRecipe, ScoredCrops, ask_teacher, distil_juror, fit, rank_loss
from juror_service.training.distil_evaluation import measure_agreement, quantiles, spearman
from juror_service.training.distil_images import ALTERATIONS, map_ahead, show_photo
from juror_service.training.teacher_scores import TeacherScores
from juror_service.training.train_photos import ONE_EDIT, read_photos
from rl_aesthetics.edits.algebra import render_rgb
from rl_aesthetics.errors import ScoringError, UserError
from rl_aesthetics.photos.formats import PhotoError
from rl_aesthetics.photos.sources.folder import open_folder
from rl_aesthetics.scores.scorer import FunctionScorer

TINY = DistilRecipe(steps=3, crops=2, alterations=5, crops_a_step=4, held_out=0.4)


def warmth(image):
    """How much redder than blue an image is: a taste that 64×64 pixels suffice for."""
    return float(image[..., 0].mean() - image[..., 2].mean())


class Teacher(FunctionScorer):
    """Warmth, counted."""

    def __init__(self, size=32, fails_after=10**9):
        super().__init__(warmth, size, "warmth")
        self.seen, self.fails_after = 0, fails_after

    def score(self, images):
        if self.seen + len(images) > self.fails_after:
            raise ScoringError("out of patience")
        self.seen += len(images)
        return super().score(images)


def scene(seed):
    """A landscape in colours of its own."""
    rng = np.random.default_rng(seed)
    image = np.empty((90, 120, 3), np.uint8)
    image[:45], image[45:] = rng.integers(0, 256, (2, 3))
    for _ in range(5):
        centre = tuple(int(n) for n in rng.integers(0, (120, 90)))
        cv2.circle(image, centre, int(rng.integers(4, 20)), rng.integers(0, 256, 3).tolist(), -1)
    return image


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(12):
        Image.fromarray(scene(seed)).save(folder / f"{seed:02}.png")
    return folder


def shown(folder, **changes):
    arguments = {"teacher_side": 32, "crops": 2, "alterations": 5, "held_out": 0.4, "seed": 0} | changes
    return [show_photo(photo, **arguments) for photo in open_folder(folder).photos]


# What is shown


def test_the_teacher_and_the_student_are_shown_the_same_images_each_at_its_size(folder):
    for photo in shown(folder, teacher_side=128):
        crops, images = (1, 1 + ALTERATIONS) if photo.held_out else (2, 6)
        assert photo.teacher_VIHWC.shape == (crops, images, 128, 128, 3)
        assert photo.student_VIHWC.shape == (crops, images, 64, 64, 3)
        halved = photo.teacher_VIHWC.reshape(crops, images, 64, 2, 64, 2, 3).mean(axis=(3, 5))
        assert np.abs(halved - photo.student_VIHWC).max() <= 1


def test_the_photos_held_out_are_those_that_juror_train_holds_out(folder):
    theirs = {photo.name for photo in read_photos(folder, 0.4)[0] if photo.held_out}
    assert {photo.name for photo in shown(folder) if photo.held_out} == theirs


def test_a_held_out_photo_is_shown_whole_with_its_one_edit_states_first(folder):
    for photo in shown(folder, teacher_side=64):
        if photo.held_out:
            whole = cv2.resize(np.asarray(Image.open(folder / photo.name)), (64, 64), interpolation=cv2.INTER_AREA)
            images_IHWC = photo.teacher_VIHWC[0]
            np.testing.assert_array_equal(images_IHWC[0], whole)
            edited = render_rgb(np.repeat(whole.transpose(2, 0, 1)[None], len(ONE_EDIT), axis=0), ONE_EDIT)
            np.testing.assert_array_equal(images_IHWC[1 : 1 + len(ONE_EDIT)], edited.transpose(0, 2, 3, 1))


def test_two_runs_show_the_same_and_further_photos_change_nothing(folder):
    before = {photo.name: photo for photo in shown(folder)}
    Image.fromarray(scene(99)).save(folder / "further.png")
    after = {photo.name: photo for photo in shown(folder)}
    assert len(after) == len(before) + 1
    for name, photo in before.items():
        np.testing.assert_array_equal(photo.teacher_VIHWC, after[name].teacher_VIHWC)


def test_a_teacher_of_odd_size_sees_edits_too(folder):
    for photo in shown(folder, teacher_side=33):
        assert photo.teacher_VIHWC.shape[2:] == (33, 33, 3)


def test_an_unusable_photo_is_a_reason_and_not_an_image(folder):
    (folder / "00.png").write_bytes((folder / "01.png").read_bytes()[:200])
    assert isinstance(shown(folder)[0], PhotoError)


def test_photos_are_made_ahead_and_come_in_order():
    assert list(map_ahead(lambda x: 10 * x, range(20), threads=3)) == list(range(0, 200, 10))
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda x: 1 / (3 - x), range(20)))


# What the teacher is asked


def test_the_teacher_is_asked_once_for_each_image_in_all_runs(tmp_path):
    images = [scene(seed)[:32, :32] for seed in range(6)]
    first = TeacherScores(Teacher(), tmp_path)
    scores = first.score([*images[:4], images[0]])
    assert first.asked == first.teacher.seen == 4
    second = TeacherScores(Teacher(), tmp_path)
    np.testing.assert_array_equal(second.score(images)[:4], scores[:4])
    assert second.asked == second.teacher.seen == 2
    np.testing.assert_array_equal(scores, np.float32([warmth(image) for image in [*images[:4], images[0]]]))


def test_half_a_line_at_the_end_is_dropped_and_had_again(tmp_path):
    images = [scene(seed)[:32, :32] for seed in range(4)]
    whole = TeacherScores(Teacher(), tmp_path)
    scores = whole.score(images)
    whole.path.write_bytes(whole.path.read_bytes()[:-9])
    again = TeacherScores(Teacher(), tmp_path)
    np.testing.assert_array_equal(again.score(images), scores)
    assert again.asked == 1
    assert len(TeacherScores(Teacher(), tmp_path)) == 4


@pytest.mark.parametrize("content", ['{"teacher": "taste:2"}\n', "scores\n", '{"teacher": "warmth"}\n{"pixels": 1}\n'])
def test_a_file_of_something_else_is_a_users_mistake(tmp_path, content):
    (tmp_path / "teacher-warmth.jsonl").write_text(content)
    with pytest.raises(UserError, match=r"teacher-warmth\.jsonl"):
        TeacherScores(Teacher(), tmp_path)


def test_what_was_had_before_the_teacher_failed_is_kept(folder, tmp_path):
    with pytest.raises(ScoringError, match="patience"):
        distil_juror(Teacher(fails_after=100), folder, tmp_path / "out", TINY)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["teacher-warmth.jsonl"]
    scores = TeacherScores(Teacher(), tmp_path / "out")
    kept = len(scores)
    seen, unseen, skipped = ask_teacher(scores, folder, TINY, lambda *progress: None)
    assert len(seen.photos) + len(unseen.photos) == 12
    assert skipped == {}
    assert seen.scores_VI.shape == (2 * len(seen.photos), 6)
    assert unseen.scores_VI.shape == (len(unseen.photos), 1 + ALTERATIONS)
    assert kept > 60
    assert scores.asked == scores.teacher.seen <= seen.scores_VI.size + unseen.scores_VI.size - kept


# What is fitted


def test_the_loss_is_least_where_the_score_is_the_quantile():
    targets = torch.rand(3, 7) * 0.98 + 0.01
    logits = torch.logit(targets).requires_grad_()
    rank_loss(logits, targets).backward()
    assert logits.grad.abs().max() < 1e-6
    least = rank_loss(torch.logit(targets), targets)
    for scale in (0.1, 1.0):
        assert rank_loss(torch.logit(targets) + scale * torch.randn(3, 7), targets) > least


def test_a_student_learns_the_order_of_its_teacher():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (4, 1, 1, 3), np.uint8).repeat(64, axis=1).repeat(64, axis=2) for _ in range(40)]
    scores_VI = np.float32([[warmth(image) for image in crop] for crop in images])
    recipe = DistilRecipe(steps=20, crops_a_step=6, averaging=0.8)
    student = fit(ScoredCrops([], images[:30], scores_VI[:30]), recipe, lambda *progress: None)
    with torch.no_grad():
        learned = np.stack([student(torch.from_numpy(crop).permute(0, 3, 1, 2)).numpy() for crop in images[30:]])
    assert spearman(learned.ravel(), scores_VI[30:].ravel()) > 0.9


def test_a_teacher_without_opinions_is_a_users_mistake(folder, tmp_path):
    with pytest.raises(UserError, match="same score"):
        distil_juror(FunctionScorer(lambda image: 0.5, 32, "bored"), folder, tmp_path / "out", TINY)


def test_a_student_is_a_pocket_juror_with_a_model_card(folder, tmp_path):
    output = tmp_path / "out"
    reports = []
    record = distil_juror(Teacher(), folder, output, TINY, lambda *r: reports.append(r), name="warmth", licence="MIT")
    names = {"pocket.json", "pocket.md", "pocket.onnx", "pocket.safetensors", "teacher-warmth.jsonl"}
    assert {path.name for path in output.iterdir()} == names
    juror = load_juror("pocket", weights=output / "pocket.onnx")
    assert juror.fingerprint == record["fingerprint"]
    load_pocket_network(output / "pocket.safetensors")
    assert json.loads((output / "pocket.json").read_text()) == json.loads(json.dumps(record))
    assert max(record["drift"].values()) <= 1e-3
    held_out = [photo for photo in shown(folder) if photo.held_out]
    assert record["held_out_photos"] == [photo.name for photo in held_out]
    student = np.stack([juror.score(photo.student_VIHWC[0]) for photo in held_out])
    teacher = np.stack([Teacher().score(photo.teacher_VIHWC[0]) for photo in held_out])
    assert record["held_out"] == measure_agreement(teacher, student)
    card = (output / "pocket.md").read_text()
    assert f"{record['held_out']['spearman']:.3f}" in card
    assert "MIT" in card
    assert max(map(len, card.splitlines())) < 600
    assert ("photos scored by warmth", 12, 12) in reports
    assert reports[-1] == ("training steps", 3, 3)


def test_an_interrupted_run_changes_no_juror(folder, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "pocket.onnx").write_bytes(b"the one from before")

    def interrupt(what, done, total):
        if what == "training steps":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_juror(Teacher(), folder, output, TINY, interrupt)
    assert (output / "pocket.onnx").read_bytes() == b"the one from before"
    assert {path.name for path in output.iterdir()} == {"pocket.onnx", "teacher-warmth.jsonl"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"steps": 0}, "step"), ({"crops": 0}, "crop"), ({"alterations": 32}, "31"), ({"held_out": 1.0}, "too few")],
)
def test_a_recipe_that_cannot_work_is_refused(folder, tmp_path, changes, named):
    recipe = DistilRecipe(**({"steps": 1, "crops": 1, "alterations": 1, "held_out": 0.4} | changes))
    with pytest.raises(UserError, match=named):
        distil_juror(Teacher(), folder, tmp_path / "out", recipe)


# How it is measured

series = arrays.arrays(np.float64, st.integers(2, 30), elements=st.integers(-5, 5).map(float))


def mean_ranks(values):
    """By the definition: how many are smaller, and half of those that are equal."""
    return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]


@given(st.data())
@settings(max_examples=50)
def test_rank_correlation_is_the_correlation_of_mean_ranks(data):
    first = data.draw(series)
    second = data.draw(arrays.arrays(np.float64, len(first), elements=st.integers(-5, 5).map(float)))
    if np.ptp(first) and np.ptp(second):
        expected = np.corrcoef(mean_ranks(first), mean_ranks(second))[0, 1]
        assert spearman(first, second) == pytest.approx(expected, abs=1e-9)
    else:
        assert np.isnan(spearman(first, second))


@given(series)
def test_quantiles_keep_order_and_ties_and_lie_between_0_and_1(scores):
    q = quantiles(scores)
    assert ((q > 0) & (q < 1)).all()
    assert q.mean() == pytest.approx(0.5)
    assert (np.sign(scores[:, None] - scores) == np.sign(np.round(q[:, None] - q, 9))).all()


def test_agreement_knows_a_perfect_student_a_contrary_one_and_an_ignorant_one():
    teacher = np.random.default_rng(0).standard_normal((20, 32))
    teacher[:, 0] += 3
    perfect, contrary = measure_agreement(teacher, np.exp(teacher)), measure_agreement(teacher, -teacher)
    for key in ("spearman", "spearman_within", "spearman_photos", "pairs_in_order", "clear_pairs_in_order"):
        assert perfect[key] == pytest.approx(1)
        assert contrary[key] == pytest.approx(-1 if key.startswith("spearman") else 0)
    assert perfect["photo_above_edit"]["student"] == perfect["photo_above_edit"]["teacher"] > 0.9
    assert perfect["pairs"] == 20 * 32 * 31 / 2 > perfect["clear_pairs"] > 0
    ignorant = measure_agreement(teacher, np.zeros_like(teacher))
    assert ignorant["spearman"] is None
    assert ignorant["pairs_in_order"] == 0
