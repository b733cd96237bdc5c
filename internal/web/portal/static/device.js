// Test of camera, microphone and speaker. Nothing leaves the phone.
const at = (id) => document.getElementById(id);
const advice = (name) => document.querySelectorAll("[data-advice]").forEach((e) => { e.hidden = e.dataset.advice !== name; });
const result = (name, shown = true) => { document.querySelector(`[data-result="${name}"]`).hidden = !shown; };
let stream, sound, frame;

at("test").hidden = false;
// Browsers inside other apps seldom let pages use the camera.
const inApp = /FBAN|FBAV|Instagram|Line\/|WhatsApp|; wv\)/.test(navigator.userAgent);
if (inApp || !navigator.mediaDevices?.getUserMedia) advice("unsupported");

at("start").addEventListener("click", async () => {
  stop();
  if (!navigator.mediaDevices?.getUserMedia) { advice("unsupported"); return; }
  advice("");
  try {
    stream = await capture();
  } catch (error) {
    advice({ NotAllowedError: "refused", SecurityError: "refused", NotReadableError: "busy", AbortError: "busy" }[error.name] ?? "");
    if (error.name === "NotFoundError") { at("results").hidden = false; result("nocamera"); result("nomic"); }
    return;
  }
  at("ask").hidden = true;
  at("results").hidden = false;
  show();
});

// capture takes both, or the one that there is.
async function capture() {
  const wishes = [{ video: { facingMode: "user", width: 640 }, audio: true }, { audio: true }, { video: true }];
  let last;
  for (const wish of wishes) {
    try { return await navigator.mediaDevices.getUserMedia(wish); } catch (error) {
      last = error;
      if (error.name !== "NotFoundError") break;
    }
  }
  throw last;
}

async function show() {
  const camera = stream.getVideoTracks().length > 0, mic = stream.getAudioTracks().length > 0;
  at("preview").hidden = !camera;
  result("nocamera", !camera);
  result("nomic", !mic);
  if (camera) {
    at("preview").srcObject = stream;
    await at("preview").play().catch(() => {});
    result("camera", at("preview").videoWidth > 0);
  }
  if (mic) listen();
  at("leave").textContent = at("leave").dataset.done;
}

// listen moves the bar with the voice; 0 to 100.
function listen() {
  sound ??= new AudioContext();
  sound.resume();
  const meter = sound.createAnalyser(), wave = new Uint8Array(meter.fftSize = 1024);
  sound.createMediaStreamSource(stream).connect(meter);
  const step = () => {
    meter.getByteTimeDomainData(wave);
    const loud = Math.min(100, Math.round(Math.max(...wave.map((v) => Math.abs(v - 128))) * 1.6));
    at("level").value = loud;
    if (loud > 8) result("mic");
    frame = requestAnimationFrame(step);
  };
  step();
}

function stop() {
  cancelAnimationFrame(frame);
  stream?.getTracks().forEach((t) => t.stop());
  stream = undefined;
}
addEventListener("pagehide", stop);

at("play").addEventListener("click", async () => {
  sound ??= new AudioContext();
  await sound.resume();
  const note = sound.createOscillator(), volume = sound.createGain(), now = sound.currentTime;
  note.frequency.setValueAtTime(523, now);
  note.frequency.setValueAtTime(659, now + 0.4);
  volume.gain.setValueAtTime(0.0001, now);
  volume.gain.exponentialRampToValueAtTime(0.3, now + 0.05);
  volume.gain.exponentialRampToValueAtTime(0.0001, now + 1);
  note.connect(volume).connect(sound.destination);
  note.start(now);
  note.stop(now + 1);
  at("heard").hidden = false;
});
at("yes").addEventListener("click", () => { result("speaker"); result("nospeaker", false); });
at("no").addEventListener("click", () => { result("nospeaker"); result("speaker", false); });
