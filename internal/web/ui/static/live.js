// The part of a page that is kept up to date, and the sound that calls for
// attention. The server says "look", the page asks how things stand; a lost
// signal is made good by the next look.
const live = document.getElementById("live");
const offline = document.getElementById("offline");
const written = (content) => content.innerHTML.trim();

// keep gives look, which brings the part up to date. part is its address; busy
// tells that somebody is at work in it; news sees every answer, shown or not;
// shown is called after a change with what was there before.
export function keep({ part, busy = () => false, news = () => {}, shown = () => {} }) {
  let asking = false, again = false, pressing = false, held, seen = written(live);

  async function look() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const answer = await fetch(part(), { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
      if (answer.ok) { show(await answer.text()); offline.hidden = true; }
    } catch {
      offline.hidden = false; // the next look tries again
    } finally {
      asking = false;
      if (again) { again = false; look(); }
    }
  }

  function show(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html; // so that both are written the browser's way
    news(fresh.content.firstElementChild);
    held = pressing ? html : undefined; // a tap is not lost because the page changes under the finger
    if (held || busy() || written(fresh) === seen) return;
    seen = written(fresh);
    const before = live.firstElementChild, inside = live.contains(document.activeElement);
    live.replaceChildren(fresh.content);
    shown(before, inside);
  }

  live.addEventListener("pointerdown", () => { pressing = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => {
    pressing = false;
    if (held) show(held);
  }));
  addEventListener("offline", () => { offline.hidden = false; });
  return look;
}

// bell lets a button turn sound on, which browsers want a hand for, and gives
// ring: notes are pairs of pitch (Hz) and time (s).
export function bell(notes, loudness = 0.25) {
  let sound;
  function ring() {
    if (sound?.state !== "running") return;
    for (const [pitch, at] of notes) {
      const note = sound.createOscillator(), volume = sound.createGain(), from = sound.currentTime + at;
      note.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, from);
      volume.gain.exponentialRampToValueAtTime(loudness, from + 0.04);
      volume.gain.exponentialRampToValueAtTime(0.0001, from + 0.6);
      note.connect(volume).connect(sound.destination);
      note.start(from);
      note.stop(from + 0.65);
    }
  }
  // offer shows the button where sound can be had; call it for each new one.
  function offer(button) {
    if (!button || !window.AudioContext) return;
    const on = () => { button.textContent = button.dataset.pressed; button.setAttribute("aria-pressed", "true"); };
    button.hidden = false;
    if (sound?.state === "running") on();
    button.addEventListener("click", async () => { sound ??= new AudioContext(); await sound.resume(); on(); ring(); });
  }
  return { ring, offer };
}
