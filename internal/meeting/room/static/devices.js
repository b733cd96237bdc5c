// Microphone and camera of this person: what can be had of them, and why not.

const wishes = {
  audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  video: { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 24, max: 30 } },
};

// problemOf gives the last part of the key of a text: microphoneRefused, cameraMissing, …
function problemOf(error) {
  switch (error && error.name) {
    case "NotAllowedError": case "SecurityError": return "Refused";
    case "NotFoundError": case "OverconstrainedError": return "Missing";
    default: return "Busy";
  }
}

const names = { audio: "microphone", video: "camera" };

export class Devices {
  tracks = { audio: null, video: null };
  facing = "user";

  // onProblem is called with the key of a text, onEnded with "audio" or "video"
  // when a device goes away by itself.
  constructor({ onProblem, onEnded }) {
    this.onProblem = onProblem;
    this.onEnded = onEnded;
  }

  // open tries to get what is asked for: together, for one question to the
  // person, then each by itself, so that a missing camera costs no microphone.
  async open(audio, video) {
    if (!audio && !video) return;
    if (!navigator.mediaDevices || !navigator.mediaDevices.getUserMedia) {
      this.onProblem("devicesInsecure");
      return;
    }
    try {
      await this.#get({ audio, video });
    } catch (error) {
      if (!(audio && video)) {
        this.onProblem(names[audio ? "audio" : "video"] + problemOf(error));
        return;
      }
      await this.open(true, false);
      await this.open(false, true);
    }
  }

  async #get({ audio, video }) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: audio ? wishes.audio : false,
      video: video ? { ...wishes.video, facingMode: this.facing } : false,
    });
    for (const track of stream.getTracks()) {
      this.close(track.kind);
      this.tracks[track.kind] = track;
      track.onended = () => {
        if (this.tracks[track.kind] !== track) return;
        this.tracks[track.kind] = null;
        this.onProblem(names[track.kind] + "Missing");
        this.onEnded(track.kind);
      };
    }
  }

  // close gives a device back, so that its light goes out.
  close(kind) {
    const track = this.tracks[kind];
    this.tracks[kind] = null;
    if (track) {
      track.onended = null;
      track.stop();
    }
  }

  // flip changes between the camera towards the person and the other one.
  async flip() {
    this.facing = this.facing === "user" ? "environment" : "user";
    this.close("video");
    await this.open(false, true);
  }

  async canFlip() {
    if (!navigator.mediaDevices || !matchMedia("(pointer: coarse)").matches) return false;
    const all = await navigator.mediaDevices.enumerateDevices();
    return all.filter((d) => d.kind === "videoinput").length > 1;
  }
}
