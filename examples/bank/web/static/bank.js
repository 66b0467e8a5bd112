// Keeps a page up to date without reloading it. What changes is rendered by the
// server: this fetches the page again and replaces its parts (data-part).
"use strict";

const parts = (root) => root.querySelectorAll("[data-part]");
const connection = document.getElementById("connection");
const pause = 300; // milliseconds from one fetch to the next

let newest = 0; // the highest position that was heard of
let shown = 0; // and the one that the page shows
let busy = false;

// isTyping tells that the user is in the middle of something in a part.
function isTyping(part) {
  const at = document.activeElement;
  return part.contains(at) && at.matches("input, select, textarea");
}

function replace(fresh) {
  for (const part of parts(document)) {
    const next = fresh.getElementById(part.id);
    if (!next || isTyping(part) || next.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceWith(document.adoptNode(next));
    if (focused) document.getElementById(focused)?.focus();
  }
}

// refresh shows the page as it is now: once all that was heard of is in it.
async function refresh() {
  if (busy) return;
  busy = true;
  const upTo = newest;
  try {
    const address = new URL(location.href);
    address.searchParams.delete("done");
    if (upTo > Number(address.searchParams.get("position") ?? 0)) address.searchParams.set("position", upTo);
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (answer.ok) {
      replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      shown = Math.max(shown, upTo);
    }
  } catch {
    // The server is away; the stream of events says so, and when it is back.
  }
  setTimeout(() => {
    busy = false;
    if (newest > shown) refresh();
  }, pause);
}

// Live: a row for each event, the newest on top.
const feed = document.getElementById("feed");
const pauseButton = document.getElementById("pause");
const rows = 200;

function addRow(event) {
  document.getElementById("waiting")?.remove();
  const row = feed.insertRow(0);
  row.className = "fresh";
  const cell = (text, kind = "") => {
    const td = row.insertCell();
    td.textContent = text;
    td.className = kind;
    return td;
  };
  cell(event.time, "nowrap");
  const link = document.createElement("a");
  link.href = "/accounts/" + encodeURIComponent(event.account);
  link.textContent = event.account;
  cell("").append(link);
  cell(event.what);
  cell(event.change, event.change.startsWith("-") ? "n out" : "n in");
  cell(event.position, "n phone-hide");
  while (feed.rows.length > rows) feed.deleteRow(-1);
}

pauseButton?.addEventListener("click", () => {
  const paused = pauseButton.getAttribute("aria-pressed") !== "true";
  pauseButton.setAttribute("aria-pressed", paused);
  pauseButton.textContent = paused ? "Go on" : "Pause";
});

if (document.body.dataset.events) {
  const source = new EventSource(document.body.dataset.events);
  source.onopen = () => {
    connection.hidden = true;
    document.body.dataset.connected = "true";
  };
  // Where the stream begins: the page was made before that, or the connection was lost.
  source.addEventListener("here", (message) => {
    newest = Math.max(newest, Number(message.data));
    if (!feed) refresh();
  });
  source.onerror = () => {
    connection.hidden = false;
    connection.textContent = "Connecting …";
  };
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (feed) {
      if (pauseButton.getAttribute("aria-pressed") !== "true") addRow(event);
      return;
    }
    newest = Math.max(newest, event.position);
    refresh();
  };
}

// Pages that no event tells of are fetched from time to time, while they are seen.
const polled = document.querySelector("[data-poll]");
if (polled) {
  setInterval(() => document.hidden || refresh(), Number(polled.dataset.poll));
}
