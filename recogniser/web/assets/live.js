// A live stream: the microphone's sound over a WebSocket to the service, and what it tells.

const PROTOCOL = "fedser.emotion.v1";
const MOST_WAITING = 10; // seconds of sound that the network may be behind
const SWITCHES = { echoCancellation: "echo cancellation", autoGainControl: "gain control", noiseSuppression: "noise suppression" };

export function bearer(token) {
  const bytes = new TextEncoder().encode(token);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function openMicrophone() {
  if (!navigator.mediaDevices) throw new Error("This browser gives the microphone to https pages and to localhost alone.");
  const off = Object.fromEntries(Object.keys(SWITCHES).map((name) => [name, false]));
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...off, channelCount: 1 } });
  } catch (error) {
    throw new Error(`The microphone cannot be had: ${error.message}`);
  }
}

// What the browser kept on although it was asked to switch it off.
function keptOn(stream) {
  const found = stream.getAudioTracks()[0].getSettings();
  return Object.keys(SWITCHES).filter((name) => found[name]).map((name) => SWITCHES[name]);
}

export class Live {
  // told: called with each event; heard: with each block of samples; warn: with a sentence; ended: at the end.
  constructor({ token, unsure, told, heard, warn, ended }) {
    Object.assign(this, { token, unsure, told, heard, warn, ended });
    this.samples = 0;
    this.closed = false;
  }

  async start() {
    this.stream = await openMicrophone();
    try {
      const kept = keptOn(this.stream);
      if (kept.length) {
        this.warn(`The browser keeps ${kept.join(" and ")} on: the model hears altered sound, and errs more.`);
      }
      this.context = new AudioContext(); // at the device's own rate: not all browsers have another
      await this.context.audioWorklet.addModule("/microphone_worklet.js");
      await this.connect();
    } catch (error) {
      this.release();
      throw error;
    }
    this.taken = new AudioWorkletNode(this.context, "taken", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.taken.port.onmessage = ({ data }) => this.send(data);
    this.context.createMediaStreamSource(this.stream).connect(this.taken);
    await this.context.resume();
  }

  connect() {
    const protocols = this.token ? [PROTOCOL, `bearer.${bearer(this.token)}`] : [PROTOCOL];
    const address = new URL("/v1/stream", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(address, protocols);
    this.socket.onmessage = ({ data }) => this.event(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.end(code === 1000 ? null : reason || `The service is gone (${code}).`);
    return new Promise((resolve, reject) => {
      this.socket.onerror = () => reject(new Error("The service cannot be reached."));
      this.socket.onopen = () => {
        const config = { encoding: "FLOAT32", interim_results: true, hop: 0.25, unsure: this.unsure };
        this.socket.send(JSON.stringify({ ...config, sample_rate_hertz: this.context.sampleRate }));
        resolve();
      };
    });
  }

  send(block) {
    if (this.socket.readyState !== WebSocket.OPEN || this.stopping) return;
    this.samples += block.length;
    this.heard(block);
    if (this.socket.bufferedAmount > MOST_WAITING * 4 * this.context.sampleRate) {
      this.end("The network is too slow for the sound.");
      return;
    }
    this.socket.send(block);
  }

  // Seconds of sound that were sent.
  get seconds() {
    return this.samples / this.context.sampleRate;
  }

  event(event) {
    if (event.type === "error") this.fault = event.detail;
    else this.told(event);
  }

  // Nothing follows; what was said last is still told.
  stop() {
    if (this.stopping) return;
    this.stopping = true;
    this.release();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send('{"end": true}');
  }

  release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context?.state !== "closed") this.context?.close();
  }

  end(why) {
    if (this.closed) return;
    this.closed = true;
    this.release();
    this.socket.close();
    this.ended(this.fault ?? why);
  }
}
