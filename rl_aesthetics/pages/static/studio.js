// What every page has: uploads with progress, and lists that follow work under way. Pages work without it.
"use strict";

const upload = document.getElementById("upload");
if (upload) {
  const drop = document.getElementById("drop"), photos = document.getElementById("photos");
  const sending = document.getElementById("sending"), sent = document.getElementById("sent");
  const text = document.getElementById("sent-text"), problems = document.getElementById("problems");

  const complain = (lines) => {
    problems.replaceChildren(...lines.map((line) => {
      const p = document.createElement("p");
      p.className = "problem";
      p.textContent = line;
      return p;
    }));
    problems.scrollIntoView({ block: "nearest" });
  };

  const send = (submitter) => {
    const data = new FormData(upload, submitter);
    if (submitter && submitter.name === "sample") data.delete("photos");
    const size = [...photos.files].reduce((sum, file) => sum + file.size, 0);
    if (!data.has("sample")) {
      if (!photos.files.length) return complain(["No photo was chosen: drop one, browse for one, or pick a sample."]);
      if (size > upload.dataset.maxBytes) return complain([`These are ${Math.ceil(size / 1e6)} MB; at most ${upload.dataset.maxBytes / 1e6} MB are taken in one go. Send fewer or smaller photos.`]);
    }
    complain([]);
    const request = new XMLHttpRequest();
    request.open("POST", upload.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      sent.value = event.total ? 100 * event.loaded / event.total : 0;
      text.textContent = sent.value < 100 ? `${Math.round(sent.value)} % sent` : "the agent looks at it";
    };
    const over = () => { sending.hidden = true; upload.removeAttribute("aria-busy"); };
    request.onload = () => {
      const answer = request.response || {};
      if (answer.location) { location.assign(answer.location); if (answer.location.includes("#")) location.reload(); return; }
      over();
      complain(answer.problems || [answer.detail || "The studio gave no answer that makes sense; reload the page and try again."]);
    };
    request.onerror = () => { over(); complain(["The upload was cut off. Is the studio still running? Try again."]); };
    request.onabort = () => { over(); complain(["Cancelled. Nothing was kept."]); };
    document.getElementById("stop-sending").onclick = () => request.abort();
    sending.hidden = false;
    upload.setAttribute("aria-busy", "true");
    request.send(data);
  };

  upload.addEventListener("submit", (event) => { event.preventDefault(); send(event.submitter); });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    photos.files = event.dataTransfer.files;
    send(document.getElementById("send"));
  });
}

const waiting = document.querySelector("[data-reload]");
if (waiting) setTimeout(() => location.reload(), Number(waiting.dataset.reload));
