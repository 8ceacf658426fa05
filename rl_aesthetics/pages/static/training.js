// Follows a training that is on.
"use strict";
const training = document.getElementById("training");
const live = () => training && training.firstElementChild.dataset.live === "1";
const follow = async () => {
  if (document.visibilityState === "visible") {
    const answer = await fetch(`/training/part?run=${encodeURIComponent(training.dataset.run)}`);
    if (answer.ok) {
      const film = training.querySelector(".scroll"), left = film ? film.scrollLeft : 0;
      const held = film && film.contains(document.activeElement);
      training.innerHTML = await answer.text();
      const again = training.querySelector(".scroll");
      if (again) { again.scrollLeft = left; if (held) again.focus({ preventScroll: true }); }
    }
  }
  if (live()) setTimeout(follow, 3000);
};
if (live()) setTimeout(follow, 3000);
