// Takes the microphone's samples off the sound thread, in blocks of a twentieth of a second.
class Taken extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(sampleRate / 20));
    this.count = 0;
  }

  process(inputs) {
    for (const sample of inputs[0][0] ?? []) {
      this.block[this.count++] = sample;
      if (this.count === this.block.length) {
        this.port.postMessage(this.block);
        this.count = 0;
      }
    }
    return true;
  }
}

registerProcessor("taken", Taken);
