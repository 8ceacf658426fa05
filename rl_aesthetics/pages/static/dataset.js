// Goes on with the next page of the grid when its end comes into view; without it there is a link.
"use strict";
const grid = document.getElementById("grid");
const watch = () => {
  const next = grid && grid.querySelector("[data-next]");
  if (!next) return;
  const near = new IntersectionObserver(async ([entry]) => {
    if (!entry.isIntersecting) return;
    near.disconnect();
    const answer = await fetch(`/dataset/part?${next.dataset.next}`).catch(() => null);
    if (!answer || !answer.ok) return; // the link stays
    const focused = next.contains(document.activeElement);
    next.insertAdjacentHTML("afterend", await answer.text());
    const added = next.nextElementSibling;
    next.remove();
    if (focused) added.querySelector("a").focus();
    watch();
  }, { rootMargin: "1200px" });
  near.observe(next);
};
watch();
