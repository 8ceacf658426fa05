// Filters and sorts the episodes of a report, which has no server to do it.
"use strict";
const filters = document.getElementById("filters"), list = document.getElementById("trajectories");
const apply = () => {
  const want = Object.fromEntries(new FormData(filters));
  const key = { judged: "judged", worst: "worst", best: "worst", surprise: "surprise", photo: "photo" }[want.sort];
  const sign = want.sort === "best" ? -1 : 1;
  const place = (trajectory) => trajectory.dataset[key] ?? Infinity; // nobody was asked: last
  const trajectories = [...list.children].sort((a, b) => sign * (place(a) - place(b)) || a.dataset.photo - b.dataset.photo);
  let count = 0;
  for (const trajectory of trajectories) {
    trajectory.hidden = ["kind", "first", "depth", "fooled"].some((name) => want[name] && want[name] !== trajectory.dataset[name]);
    count += !trajectory.hidden;
  }
  list.replaceChildren(...trajectories);
  document.getElementById("count").textContent = count;
};
filters.addEventListener("change", apply);
filters.addEventListener("submit", (event) => event.preventDefault());
