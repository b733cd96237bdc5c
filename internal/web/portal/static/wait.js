// The page of an appointment, kept up to date. The server says "look", the
// page asks how things stand; a lost signal is made good by the next look.
const live = document.getElementById("live");
const said = document.getElementById("say");
const offline = document.getElementById("offline");
const closed = ["finished", "cancelled", "noshow", "abandoned"];

let source, sound, lock, opening;
let asking = false, again = false, seen = live.innerHTML.trim();
const root = () => live.firstElementChild; // says the phase

async function look() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch(location.pathname + "?part", { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
    if (answer.ok) { show(await answer.text()); offline.hidden = true; }
  } catch {
    offline.hidden = false; // the next look tries again
  } finally {
    asking = false;
    if (again) { again = false; look(); }
  }
}

// A tap is not lost because the page changes under the finger.
let pressing = false, held;
live.addEventListener("pointerdown", () => { pressing = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => {
  pressing = false;
  if (held) show(held);
}));

function show(html) {
  held = pressing ? html : undefined;
  if (held) return;
  const fresh = document.createElement("template");
  fresh.innerHTML = html; // so that both are written the browser's way
  if (fresh.innerHTML.trim() === seen) return;
  const before = root().dataset.phase;
  const inside = live.contains(document.activeElement);
  seen = fresh.innerHTML.trim();
  live.replaceChildren(fresh.content);
  const now = root().dataset.phase;
  settle();
  if (now === before) { said.textContent = live.querySelector(".big")?.textContent ?? ""; return; }
  document.title = root().dataset.title;
  said.textContent = live.querySelector("h1").textContent + ". " + (live.querySelector(".big")?.textContent ?? "");
  if (inside) (document.getElementById("join") ?? document.getElementById("main")).focus();
  if (now === "ready") ring();
}

// settle does what each new content needs.
function settle() {
  const button = document.getElementById("sound");
  if (button && window.AudioContext) {
    button.hidden = false;
    button.onclick = unlock;
    if (sound?.state === "running") pressed(button);
  }
  clearTimeout(opening);
  const seconds = Number(root().dataset.in);
  if (seconds) opening = setTimeout(look, seconds * 1000);
  if (closed.includes(root().dataset.phase)) source?.close();
  stayAwake();
}

function pressed(button) {
  button.textContent = button.dataset.pressed;
  button.setAttribute("aria-pressed", "true");
}

async function unlock(event) {
  sound ??= new AudioContext();
  await sound.resume();
  pressed(event.currentTarget ?? event.target);
  tone();
}

// tone is two soft notes.
function tone() {
  [[660, 0], [880, 0.25]].forEach(([pitch, at]) => {
    const note = sound.createOscillator(), volume = sound.createGain(), from = sound.currentTime + at;
    note.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, from);
    volume.gain.exponentialRampToValueAtTime(0.25, from + 0.05);
    volume.gain.exponentialRampToValueAtTime(0.0001, from + 0.5);
    note.connect(volume).connect(sound.destination);
    note.start(from);
    note.stop(from + 0.55);
  });
}

function ring() {
  navigator.vibrate?.([200, 100, 200]);
  if (sound?.state === "running") tone();
}

async function stayAwake() {
  const wanted = ["waiting", "ready"].includes(root().dataset.phase);
  try {
    if (wanted && !document.hidden && (!lock || lock.released)) lock = await navigator.wakeLock?.request("screen");
    else if (!wanted) { await lock?.release(); lock = undefined; }
  } catch { /* a wish, not a need */ }
}

function listen() {
  source?.close();
  if (closed.includes(root().dataset.phase)) return;
  source = new EventSource(location.pathname + "/events");
  source.addEventListener("look", look);
}

function comeBack() {
  if (document.hidden) return;
  if (!source || source.readyState === EventSource.CLOSED) listen();
  look();
  stayAwake();
}

document.addEventListener("visibilitychange", comeBack);
addEventListener("online", () => { listen(); look(); });
addEventListener("offline", () => { offline.hidden = false; });
addEventListener("pageshow", (event) => { if (event.persisted) { listen(); look(); } });
addEventListener("pagehide", () => source?.close());
setInterval(() => {
  if (closed.includes(root().dataset.phase)) return;
  if (!source || source.readyState === EventSource.CLOSED) { listen(); look(); } else if (source.readyState === EventSource.CONNECTING) look();
}, 10000);
settle();
listen();
