// The page of a call: tiles, buttons, messages. call.js keeps the connection.
import { Call } from "./call.js";
import { Devices } from "./devices.js";

const $ = (id) => document.getElementById(id);
const { room, texts, parents } = document.body.dataset;
const T = JSON.parse(texts);
const query = new URLSearchParams(location.search);
const ticketKey = `jumpa-room:${room}`;
const weakLoss = 0.08; // share of lost packets from which the picture suffers
const loudLevel = 0.02;

// The JWT leaves the address bar, and with it the history, before anything else.
const jwt = new URLSearchParams(location.hash.slice(1)).get("jwt") || "";
if (location.hash) history.replaceState(null, "", location.pathname + location.search);

const store = {
  get ticket() { try { return sessionStorage.getItem(ticketKey) || ""; } catch { return ""; } },
  set ticket(value) {
    try {
      if (value) sessionStorage.setItem(ticketKey, value); else sessionStorage.removeItem(ticketKey);
    } catch { /* storage is switched off: a reload will need a new link */ }
  },
};

// tellParent speaks to the page that embeds this one, and to no other.
function tellParent(event, reason = "") {
  if (window.parent === window) return;
  const allowed = [location.origin, ...parents.split(" ").filter(Boolean)];
  let known = location.ancestorOrigins ? location.ancestorOrigins[0] : "";
  if (!known && document.referrer) known = new URL(document.referrer).origin;
  for (const origin of known ? allowed.filter((o) => o === known) : allowed) {
    window.parent.postMessage({ source: "jumpa-room", event, reason }, origin);
  }
}

const want = { audio: query.get("audio") !== "off", video: query.get("video") !== "off" };
const streams = new Map(); // by seat
let call, entered = false, loss = { lost: 0, received: 0 };

const devices = new Devices({
  onProblem: (key) => notice(T[key], true),
  onEnded: (kind) => { want[kind] = false; share(); },
});

function notice(text, bad = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("bad", bad);
  $("notice").hidden = !text;
}

function status(key, trouble = false) {
  if ($("status").textContent !== T[key]) $("status").textContent = T[key];
  document.body.classList.toggle("trouble", trouble);
}

// share sends what is wanted and can be had.
async function share() {
  for (const kind of ["audio", "video"]) {
    if (!want[kind] && kind === "video") devices.close(kind);
    if (devices.tracks[kind]) devices.tracks[kind].enabled = want[kind];
  }
  await call.send({ audio: want.audio ? devices.tracks.audio : null, video: want.video ? devices.tracks.video : null });
  draw();
}

async function toggle(kind) {
  const on = !call.sending[kind];
  want[kind] = on;
  if (on) {
    notice("");
    if (!devices.tracks[kind]) await devices.open(kind === "audio", kind === "video");
    want[kind] = Boolean(devices.tracks[kind]);
  }
  await share();
}

function element(tag, properties = {}, ...children) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

function initials(name) {
  return name.split(/\s+/).filter(Boolean).slice(0, 2).map((w) => [...w][0].toUpperCase()).join("");
}

function tileOf(seat) {
  let tile = $("tile-" + seat);
  if (!tile) {
    const own = seat === call.seat;
    const video = element("video", { autoplay: true, playsInline: true, muted: own });
    tile = element("li", { id: "tile-" + seat, className: own ? "tile own" : "tile" },
      video, element("span", { className: "initials", ariaHidden: "true" }), element("span", { className: "label" }));
    $("tiles").append(tile);
  }
  return tile;
}

function show(tile, stream) {
  const video = tile.querySelector("video");
  if (video.srcObject === stream) return;
  video.srcObject = stream;
  if (stream) video.play().catch((e) => { if (e.name === "NotAllowedError") $("unlock").hidden = false; });
}

function ownStream() {
  const track = devices.tracks.video;
  if (!track) return null;
  const now = tileOf(call.seat).querySelector("video").srcObject;
  return now && now.getVideoTracks()[0] === track ? now : new MediaStream([track]);
}

function drawTile(person) {
  const tile = tileOf(person.seat), own = person.seat === call.seat;
  const audio = own ? call.sending.audio : person.audio, video = own ? call.sending.video : person.video;
  const parts = [own ? T.you : person.name];
  if (!audio) parts.push(T.microphoneIsOff);
  if (person.away) parts.push(T.away);
  tile.querySelector(".label").textContent = parts.join(" · ");
  tile.querySelector(".initials").textContent = initials(person.name);
  tile.classList.toggle("blank", !video || person.away || (!own && !call.receiveVideo));
  tile.querySelector("video").setAttribute("aria-label", person.name);
  show(tile, own ? ownStream() : streams.get(person.seat) || null);
}

function drawPeople() {
  const may = call.features["remove-participant"];
  $("people").replaceChildren(...call.people.map((p) => {
    const state = [T[p.role] || p.role];
    if (p.seat === call.seat) state.push(T.you);
    if (!p.audio) state.push(T.microphoneIsOff);
    if (!p.video) state.push(T.cameraIsOff);
    if (p.away) state.push(T.away);
    const item = element("li", {}, element("span", {}, element("strong", { textContent: p.name }), element("small", { textContent: state.join(" · ") })));
    if (may && p.seat !== call.seat) {
      const button = element("button", { type: "button", textContent: T.remove, ariaLabel: `${T.remove}: ${p.name}` });
      button.onclick = async () => { if (await sure(T.removeSure, T.remove)) call.ask("remove", p.seat); };
      item.append(button);
    }
    return item;
  }));
  $("removed").replaceChildren(...call.removed.map((p) => {
    const button = element("button", { type: "button", textContent: T.letIn, ariaLabel: `${T.letIn}: ${p.name}` });
    button.onclick = () => call.ask("let-in", p.seat);
    return element("li", {}, element("strong", { textContent: p.name }), button);
  }));
  $("removed-block").hidden = !call.removed.length;
  $("show-people").textContent = `${T.people} (${call.people.length})`;
}

function draw() {
  if (!entered) return;
  const seats = new Set(call.people.map((p) => "tile-" + p.seat));
  for (const tile of [...$("tiles").children]) {
    if (!seats.has(tile.id)) { streams.delete(tile.id.slice(5)); tile.remove(); }
  }
  call.people.forEach(drawTile);
  drawPeople();
  $("tiles").classList.toggle("pair", call.people.length === 2);
  $("alone").hidden = call.people.length !== 1;
  for (const [id, kind] of [["microphone", "audio"], ["camera", "video"]]) {
    $(id).classList.toggle("on", call.sending[kind]);
    $(id).textContent = T[call.sending[kind] ? `${id}TurnOff` : `${id}TurnOn`];
  }
  $("sound-only").classList.toggle("on", !call.receiveVideo);
  $("sound-only").textContent = T[call.receiveVideo ? "soundOnly" : "soundAndPicture"];
  $("mute-all").hidden = !call.features["mute-all"];
  $("end").hidden = !call.features["end-conference"];
  if (call.mediaState === "connected") {
    status("connected");
    if ($("notice").textContent === T.blocked) notice("");
  }
}

// sure asks in a dialog of the page: the browser's own is not shown in frames.
function sure(text, yes) {
  $("confirm-text").textContent = text;
  $("confirm-yes").textContent = yes;
  $("confirm").showModal();
  return new Promise((resolve) => {
    const close = (answer) => { $("confirm").close(); resolve(answer); };
    $("confirm-yes").onclick = () => close(true);
    $("confirm-no").onclick = () => close(false);
    $("confirm").oncancel = () => resolve(false);
  });
}

// over shows why the call is over here, and the way back where there is one.
function over(kind, code, way) {
  entered = false;
  devices.close("audio"); devices.close("video");
  $("tiles").replaceChildren();
  for (const id of ["controls", "people-panel", "alone", "notice", "unlock"]) $(id).hidden = true;
  if ($("confirm").open) $("confirm").close();
  const key = kind === "failed" ? code : kind;
  $("finished-title").textContent = T[`${key}Title`] || T.failedTitle;
  $("finished-text").textContent = T[`${key}Text`] || T.failedText;
  $("again").hidden = !(way.ticket || way.jwt) || ["ended", "removed", "expired", "invalid"].includes(key);
  $("again").textContent = kind === "failed" ? T.tryAgain : T.comeBack;
  $("again").onclick = () => begin(way.jwt, way.ticket);
  $("finished").hidden = false;
  $("status").textContent = T[`${key}Title`] || T.failedTitle;
  document.body.classList.remove("trouble");
  $("finished-title").focus();
  tellParent(kind === "ended" ? "ended" : kind === "failed" ? "failed" : "left", code || (kind === "left" ? "" : kind));
}

async function keepAwake() {
  if (!navigator.wakeLock || document.visibilityState !== "visible") return;
  try { await navigator.wakeLock.request("screen"); } catch { /* a low battery refuses; the call goes on */ }
}

const on = {
  joined() {
    entered = true;
    status("connecting");
    keepAwake();
    tellParent("joined");
  },
  changed: draw,
  stream(seat, stream) { streams.set(seat, stream); draw(); },
  mute() { want.audio = false; share(); notice(T.mutedForAll); },
  declined(code, reason) { notice([T[`${code}Text`] || T.failedText, code === "not-now" ? reason : ""].join(" "), true); },
  blocked() { notice(T.blocked, true); },
  reconnecting() { status("reconnecting", true); tellParent("reconnecting"); },
  over,
};

async function begin(jwt, ticket) {
  $("finished").hidden = true; $("controls").hidden = false;
  status("connecting");
  streams.clear();
  call = new Call({ room, jwt, ticket, on, keep: (t) => { store.ticket = t; } });
  const mine = call;
  call.start();
  if (!$("finished").hidden) return; // refused at once: no reason to ask for the camera
  await devices.open(want.audio, want.video);
  for (const kind of ["audio", "video"]) want[kind] = Boolean(devices.tracks[kind]);
  if (mine !== call || !$("finished").hidden) { devices.close("audio"); devices.close("video"); return; }
  await share();
  $("flip").hidden = !(await devices.canFlip());
}

// watch marks who speaks and says when the network is weak.
async function watch() {
  if (!entered) return;
  const loud = call.levels();
  for (const tile of $("tiles").children) tile.classList.toggle("speaking", (loud.get(tile.id.slice(5)) || 0) > loudLevel);
}
async function watchNetwork() {
  if (!entered) return;
  const s = await call.stats();
  const lost = s.packetsLost - loss.lost, received = s.packetsReceived - loss.received;
  loss = { lost: s.packetsLost, received: s.packetsReceived };
  if (lost >= 0 && received > 50 && lost / (lost + received) > weakLoss) notice(T.weak);
  else if ($("notice").textContent === T.weak) notice("");
}

$("microphone").onclick = () => toggle("audio");
$("camera").onclick = () => toggle("video");
$("flip").onclick = async () => { await devices.flip(); want.video = Boolean(devices.tracks.video); await share(); };
$("sound-only").onclick = async () => {
  call.receive(!call.receiveVideo);
  if (!call.receiveVideo) want.video = false;
  await share();
};
$("show-people").onclick = () => {
  $("people-panel").hidden = !$("people-panel").hidden;
  $("show-people").setAttribute("aria-expanded", String(!$("people-panel").hidden));
};
$("mute-all").onclick = async () => { if (await sure(T.muteAllSure, T.muteAll)) call.ask("mute-all"); };
$("end").onclick = async () => { if (await sure(T.endSure, T.endForAll)) call.ask("end"); };
$("leave").onclick = () => call.leave();
$("unlock").onclick = () => {
  $("unlock").hidden = true;
  for (const video of document.querySelectorAll(".tile video")) video.play().catch(() => {});
};
document.addEventListener("visibilitychange", () => { if (entered) keepAwake(); });
// A page taken out of the back-forward cache has a dead connection.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
setInterval(watch, 500);
setInterval(watchNetwork, 3000);

window.jumpaRoom = { stats: () => call.stats() };
begin(jwt, store.ticket);
