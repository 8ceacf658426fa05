// The episode's page: steps without reloading, watching from the start, the before/after slider.
"use strict";

const frame = document.getElementById("episode"), said = document.getElementById("said");
const base = `/episodes/${frame.dataset.key}`;
let watching = 0, cut = 0, asked = 0;

const state = () => frame.querySelector(".episode").dataset;

function dress() {
  const compare = frame.querySelector("[data-compare]"), range = compare && compare.querySelector("input");
  if (range) {
    const show = () => {
      cut = Number(range.value);
      compare.style.setProperty("--cut", `${cut}%`);
      compare.classList.toggle("cut", cut > 0);
    };
    range.value = cut;
    range.addEventListener("input", show);
    show();
  }
  const watch = frame.querySelector("[data-watch]");
  if (watch) {
    watch.hidden = Number(state().last) < 1;
    watch.textContent = watching ? "Pause" : "Watch from the start";
  }
  if (state().running === "1") setTimeout(() => show(), 400);
}

async function show(at) {
  const turn = asked += 1;
  const answer = await fetch(at === undefined ? `${base}/part` : `${base}/part?at=${at}`);
  if (!answer.ok) return location.reload();
  const part = await answer.text();
  if (turn !== asked) return;  // something else was asked for since: this answer is of the past
  const focused = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.keep;
  const scrolled = frame.querySelector(".timeline");
  const left = scrolled ? scrolled.scrollLeft : 0;
  frame.innerHTML = part;
  const timeline = frame.querySelector(".timeline");
  if (timeline) {
    timeline.scrollLeft = left;
    const here = timeline.querySelector("[aria-current]");
    if (here) {
      const over = here.getBoundingClientRect().right - timeline.getBoundingClientRect().right;
      if (over > 0) timeline.scrollLeft += over;
    }
  }
  if (focused) {
    const again = frame.querySelector(`[data-keep="${CSS.escape(focused)}"]`) || frame.querySelector("[aria-current]");
    if (again) again.focus({ preventScroll: true });
  }
  const image = frame.querySelector(".after");
  if (image) said.textContent = image.alt;
  dress();
}

async function play() {
  watching += 1;
  const turn = watching, last = Number(state().last);
  cut = 0;
  for (let at = 0; at <= last; at += 1) {
    await show(at);
    await new Promise((resolve) => setTimeout(resolve, 1300));
    if (watching !== turn) return;
  }
  watching = 0;
  dress();
}

frame.addEventListener("click", (event) => {
  const step = event.target.closest("a[data-at]");
  if (event.target.closest("[data-watch]")) {
    if (watching) { watching = 0; dress(); } else { play(); }
  } else if (step && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    watching = 0;
    history.replaceState(null, "", `${base}?at=${step.dataset.at}`);
    show(step.dataset.at);
  }
});

frame.addEventListener("submit", async (event) => {
  event.preventDefault();
  watching = 0;
  const form = event.target;
  const answer = await fetch(form.action, {
    method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(form, event.submitter)),
  });
  const content = await answer.json();
  if (!answer.ok) {
    said.className = "problem";
    said.textContent = content.detail;
    return;
  }
  said.className = "visually-hidden";
  if (content.location !== base) return location.assign(content.location);
  history.replaceState(null, "", base);
  await show();
});

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.altKey || event.ctrlKey || event.metaKey) return;
  const to = { ArrowLeft: Number(state().at) - 1, ArrowRight: Number(state().at) + 1 }[event.key];
  if (to >= 0 && to <= Number(state().last)) { watching = 0; show(to); }
});

dress();
